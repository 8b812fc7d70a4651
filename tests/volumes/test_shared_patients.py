"""Patients in several cohorts are found by name or by file, and unnamed ones are told from named ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import CohortError
from fedvoxel.volumes.shared_patients import cohorts_sharing, patients_of, unnamed_problem
from fedvoxel.volumes.site import CohortConfig, SiteConfig

CLASSES = {"anterior": 1}


def cohort(folder: Path, name: str, rows: list[str], head: str = "case,patient,image,label", **extra: Any) -> Any:
    (folder / f"{name}.csv").write_text("\n".join([head, *rows]) + "\n")
    return {"source": {"layout": "csv", "table": f"{name}.csv"}, "classes": CLASSES, **extra}


def files(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"")


def site_of(**cohorts: Any) -> SiteConfig:
    return parse_config(SiteConfig, {"schema_version": 1, "pseudonym_key": "0" * 64, "cohorts": cohorts}, "a site")


def test_a_patient_in_two_cohorts_is_found_by_name_or_by_image(tmp_path: Path) -> None:
    files(tmp_path, "a.nii", "b.nii", "l.nii")
    (tmp_path / "link.nii").symlink_to(tmp_path / "a.nii")
    site = site_of(
        main=cohort(tmp_path, "main", ["c1,p1,a.nii,l.nii", "c2,p2,b.nii,l.nii"]),
        same_name=cohort(tmp_path, "same_name", ["other,p2,gone.nii,gone.nii"]),
        same_file=cohort(tmp_path, "same_file", ["renamed,q1,link.nii,l.nii"]),
        apart=cohort(tmp_path, "apart", ["c9,p9,z.nii,l.nii"]),
    )
    assert cohorts_sharing(site, "main", tmp_path) == ("same_file", "same_name")
    assert cohorts_sharing(site, "apart", tmp_path) == ()


def test_rows_without_a_name_share_nothing(tmp_path: Path) -> None:
    site = site_of(**{name: cohort(tmp_path, name, [",,,"]) for name in ("one", "two")})
    assert cohorts_sharing(site, "one", tmp_path) == ()


def test_a_list_that_cannot_be_read_is_an_error_and_not_a_no(tmp_path: Path) -> None:
    site = site_of(
        main=cohort(tmp_path, "main", ["c1,p1,a.nii,l.nii"]),
        gone={"source": {"layout": "csv", "table": "gone.csv"}, "classes": CLASSES},
    )
    with pytest.raises(CohortError):
        cohorts_sharing(site, "main", tmp_path)


def described(folder: Path, values: Any) -> CohortConfig:
    return site_of(main=values).cohort("main")


def test_a_table_that_names_every_patient_is_in_order(tmp_path: Path) -> None:
    files(tmp_path, "a.nii", "b.nii", "l.nii")
    rows = ["c1,p1,a.nii,l.nii", "c2,p1,b.nii,l.nii"]
    assert unnamed_problem(site_of(), described(tmp_path, cohort(tmp_path, "main", rows)), tmp_path) is None


@pytest.mark.parametrize(
    ("head", "rows", "count"),
    [
        ("case,image,label", ["c1,a.nii,l.nii", "c2,b.nii,l.nii"], 2),
        ("case,patient,image,label", ["c1,p1,a.nii,l.nii", "c2,,b.nii,l.nii"], 1),
        ("case,patient,image,label", ["c1,p1,a.nii,l.nii", "c2, ,b.nii,l.nii"], 1),
    ],
    ids=["no column", "an empty cell", "a blank cell"],
)
def test_unnamed_patients_need_the_hospitals_word(tmp_path: Path, head: str, rows: list[str], count: int) -> None:
    files(tmp_path, "a.nii", "b.nii", "l.nii")
    said = unnamed_problem(site_of(), described(tmp_path, cohort(tmp_path, "main", rows, head)), tmp_path)
    assert said and said.startswith(f"{count} of its cases name no patient") and "one_scan_per_patient" in said
    assert "c2" not in said and "p1" not in said
    declared = described(tmp_path, cohort(tmp_path, "main", rows, head, one_scan_per_patient=True))
    assert unnamed_problem(site_of(), declared, tmp_path) is None


def test_a_word_that_the_table_contradicts_is_refused(tmp_path: Path) -> None:
    files(tmp_path, "a.nii", "b.nii", "l.nii")
    rows = ["c1,p1,a.nii,l.nii", "c2,p1,b.nii,l.nii"]
    said = unnamed_problem(
        site_of(), described(tmp_path, cohort(tmp_path, "main", rows, one_scan_per_patient=True)), tmp_path
    )
    assert said and "several cases" in said and "p1" not in said


def test_a_decathlon_names_no_patient(tmp_path: Path) -> None:
    files(tmp_path, "a.nii.gz", "l.nii.gz")
    listed = {"training": [{"image": "a.nii.gz", "label": "l.nii.gz"}]}
    (tmp_path / "dataset.json").write_text(json.dumps(listed))
    source = {"layout": "decathlon", "dataset_json": "dataset.json"}
    found = described(tmp_path, {"source": source, "classes": CLASSES})
    assert patients_of(site_of(), found, tmp_path).unnamed_cases == 1
    assert unnamed_problem(site_of(), found, tmp_path) is not None
    declared = described(tmp_path, {"source": source, "classes": CLASSES, "one_scan_per_patient": True})
    assert unnamed_problem(site_of(), declared, tmp_path) is None


def test_a_bids_subject_is_a_patient(tmp_path: Path) -> None:
    files(tmp_path, "x")
    for folder in (tmp_path / "sub-01" / "anat", tmp_path / "derivatives" / "labels" / "sub-01" / "anat"):
        folder.mkdir(parents=True)
    files(tmp_path / "sub-01" / "anat", "sub-01_T2w.nii.gz")
    files(tmp_path / "derivatives" / "labels" / "sub-01" / "anat", "sub-01_T2w_seg.nii.gz")
    source = {"layout": "bids", "root": ".", "image": "T2w", "labels": {"cord": "seg"}}
    found = described(tmp_path, {"source": source})
    assert patients_of(site_of(), found, tmp_path).names == {site_of().pseudonym_of("sub-01")}
    assert unnamed_problem(site_of(), found, tmp_path) is None
