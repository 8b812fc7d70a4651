import time
from pathlib import Path

import numpy as np
import pytest

from fedvoxel.errors import CohortError
from fedvoxel.volumes.hippocampus import hippocampus_cohort, hippocampus_tables
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.plan import PreprocessingPlan
from fedvoxel.volumes.site import SiteConfig
from fedvoxel.volumes.spinal_cord import spinal_cord_cohorts
from fedvoxel.volumes.split import SPLITS, Split
from tests.volumes.scans import CLASSES, csv_cohort, pairs_table, site_config

PLAN = PreprocessingPlan()
ALL_TRAINING = {"validation": 0, "test": 0}


def load(site: SiteConfig, split: Split, base: Path, name: str = "a", classes: tuple[str, ...] = CLASSES):  # type: ignore[no-untyped-def]
    return load_cases(site, name, classes, PLAN, split, base)


def test_splits_are_disjoint_and_whole(tmp_path: Path) -> None:
    pairs_table(tmp_path, 30)
    site = site_config(a=csv_cohort(split={"validation": 0.3, "test": 0.3}))
    found = {split: [case.case for case in load(site, split, tmp_path)[0]] for split in SPLITS}
    names = [name for cases in found.values() for name in cases]
    assert len(names) == len(set(names)) == 30
    assert all(found.values())
    assert all(cases == sorted(cases) for cases in found.values())


def test_one_bad_file_never_stops_the_others(tmp_path: Path) -> None:
    pairs_table(tmp_path, 6)
    (tmp_path / "patient2_image.nii.gz").write_bytes(b"\x1f\x8bnonsense")
    (tmp_path / "patient3_label.nii.gz").unlink()
    site = site_config(a=csv_cohort(split=ALL_TRAINING))
    cases, refused = load(site, "training", tmp_path)
    assert len(cases) == 4
    assert {refusal.case: refusal.reason for refusal in refused} == {
        site.pseudonym_of("patient2"): "unreadable",
        site.pseudonym_of("patient3"): "missing_label",
    }
    assert all(word not in refusal.message for refusal in refused for word in ("patient", str(tmp_path)))


def test_an_empty_split_is_legal(tmp_path: Path) -> None:
    pairs_table(tmp_path, 3)
    site = site_config(a=csv_cohort(split={"validation": 0, "test": 1}))
    assert load(site, "training", tmp_path) == ((), ())
    assert len(load(site, "test", tmp_path)[0]) == 3


def test_a_split_of_bad_cases_is_empty_while_others_are_usable(tmp_path: Path) -> None:
    pairs_table(tmp_path, 12)
    site = site_config(a=csv_cohort(split={"validation": 0, "test": 0.4}))
    from fedvoxel.volumes.layouts import list_cases
    from fedvoxel.volumes.split import split_of

    cohort = site.cohort("a")
    for files in list_cases(cohort, tmp_path):
        if split_of(files.patient, cohort.split) == "test":
            files.label[0].unlink()
    cases, refused = load(site, "test", tmp_path)
    assert cases == ()
    assert {refusal.reason for refusal in refused} == {"missing_label"}


def test_a_cohort_without_any_usable_case_counts_the_reasons(tmp_path: Path) -> None:
    pairs_table(tmp_path, 5)
    for number in range(3):
        (tmp_path / f"patient{number}_image.nii.gz").write_bytes(b"")
    for number in (3, 4):
        (tmp_path / f"patient{number}_label.nii.gz").unlink()
    site = site_config(a=csv_cohort())
    for split in SPLITS:
        with pytest.raises(CohortError, match="no usable case: 2 x missing_label, 3 x truncated"):
            load(site, split, tmp_path)


def test_an_empty_table_is_no_usable_case(tmp_path: Path) -> None:
    pairs_table(tmp_path, 0)
    with pytest.raises(CohortError, match="it lists none"):
        load(site_config(a=csv_cohort()), "training", tmp_path)


def test_unknown_cohort_and_class_are_refused(tmp_path: Path) -> None:
    pairs_table(tmp_path, 1)
    with pytest.raises(CohortError, match="no cohort 'b'"):
        load(site_config(a=csv_cohort()), "training", tmp_path, name="b")
    with pytest.raises(CohortError, match="asks for tumour"):
        load(site_config(a=csv_cohort()), "training", tmp_path, classes=("tumour",))


def test_hippocampus_loads_fast_and_whole(data_folder: Path, tmp_path: Path) -> None:
    table = hippocampus_tables(data_folder, tmp_path)["hospital-a"]
    site = site_config(hippocampus={**hippocampus_cohort(table), "split": ALL_TRAINING})
    start = time.perf_counter()
    cases, refused = load_cases(site, "hippocampus", CLASSES, PLAN, "training", tmp_path)
    assert (len(cases), refused) == (42, ())
    assert time.perf_counter() - start < 4.0  # about 0.3 s where nothing else runs
    assert all(set(np.unique(case.label)) == {0, 1, 2} for case in cases)


def test_spinal_cord_hospitals_load(data_folder: Path) -> None:
    cohorts = spinal_cord_cohorts(data_folder / "spinal_cord_gm_6sites" / "bids")
    site = site_config(**cohorts)
    marked = {}
    for name in cohorts:
        split: Split = "test" if name == "ceitec" else "training"
        cases, refused = load_cases(site, name, ("cord", "grey_matter"), PLAN, split, Path("/"))
        assert refused == ()
        marked[name] = [tuple(int((case.label == code).sum()) for code in (1, 2)) for case in cases]
        empty: Split = "training" if name == "ceitec" else "test"
        assert load_cases(site, name, ("cord", "grey_matter"), PLAN, empty, Path("/")) == ((), ())
    # Cord is what is left around the grey matter that is painted over it; one voxel of it lies outside at Philips.
    assert marked["ucl"] == [(6473 - 906, 906)]
    assert marked["philips"] == [(3228 - 521 + 1, 521)]
    assert len(marked["milan"]) == 2
    cord_only, _ = load_cases(site, "ucl", ("cord",), PLAN, "training", Path("/"))
    assert int(cord_only[0].label.sum()) == 6473
