import csv
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fedvoxel.errors import CohortError
from fedvoxel.volumes.hippocampus import HOSPITALS, find_hippocampus, hippocampus_cohort, hippocampus_tables
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.plan import PreprocessingPlan
from tests.volumes.scans import CLASSES, image_voxels, label_voxels, site_config, write_nifti


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_prepared_set_is_shared_out_as_suggested(data_folder: Path, tmp_path: Path) -> None:
    tables = hippocampus_tables(data_folder, tmp_path)
    assert tables == {hospital: tmp_path / f"{hospital}.csv" for hospital in HOSPITALS}
    assert {hospital: len(rows_of(table)) for hospital, table in tables.items()} == dict(
        zip(HOSPITALS, (42, 66, 63, 25), strict=True)
    )
    assert all(Path(row["image"]).is_file() for table in tables.values() for row in rows_of(table))
    assert find_hippocampus(data_folder) == find_hippocampus(data_folder / "msd_hippocampus")


def test_decathlon_set_of_the_same_scans_has_the_same_intensity_groups(data_folder: Path, tmp_path: Path) -> None:
    source, made = data_folder / "msd_hippocampus", tmp_path / "Task04_Hippocampus"
    suggested = {row["case"]: row["intensity_group"] for row in rows_of(source / "cases.csv")}
    made.mkdir()
    for ours, theirs in (("images", "imagesTr"), ("labels", "labelsTr")):
        os.symlink(source / ours, made / theirs)
    items = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in suggested]
    (made / "dataset.json").write_text(json.dumps({"training": items}))
    groups = {"hospital-a": "A", "hospital-b": "B", "hospital-c": "B", "hospital-d": "C"}
    counts: Counter[str] = Counter()
    for hospital, table in hippocampus_tables(tmp_path, tmp_path / "tables").items():
        for row in rows_of(table):
            assert suggested[row["case"]] == groups[hospital]
            counts[hospital] += 1
    assert (counts["hospital-a"], counts["hospital-d"], counts.total()) == (42, 25, 196)
    assert 45 <= counts["hospital-b"] <= 84


def test_unreadable_scan_of_a_decathlon_set_is_refused_later(tmp_path: Path) -> None:
    made = tmp_path / "Task04_Hippocampus"
    for number in range(6):
        write_nifti(made / "imagesTr" / f"h{number}.nii.gz", image_voxels(seed=number) * np.float32(10.0**number))
        write_nifti(made / "labelsTr" / f"h{number}.nii.gz", label_voxels())
    (made / "imagesTr" / "h0.nii.gz").write_bytes(b"broken")
    items = [{"image": f"imagesTr/h{number}.nii.gz", "label": f"labelsTr/h{number}.nii.gz"} for number in range(6)]
    (made / "dataset.json").write_text(json.dumps({"training": items}))
    tables = hippocampus_tables(made, tmp_path)
    found = {hospital: [row["case"] for row in rows_of(table)] for hospital, table in tables.items()}
    assert sorted(case for cases in found.values() for case in cases) == [f"h{number}" for number in range(6)]
    assert found["hospital-d"] == ["h3", "h4", "h5"]
    home = next(hospital for hospital, cases in found.items() if "h0" in cases)
    site = site_config(x={**hippocampus_cohort(tables[home]), "split": {"validation": 0, "test": 0}})
    _, refused = load_cases(site, "x", CLASSES, PreprocessingPlan(), "training", tmp_path)
    assert [refusal.reason for refusal in refused] == ["unreadable"]


def test_a_folder_without_the_set_says_what_is_expected(tmp_path: Path) -> None:
    assert find_hippocampus(tmp_path) is None
    with pytest.raises(CohortError, match="msd_hippocampus"):
        hippocampus_tables(tmp_path, tmp_path / "out")


def test_prepared_set_with_a_wrong_list_is_refused(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    (tmp_path / "cases.csv").write_text("case,suggested_site\nx,site-z\n")
    with pytest.raises(CohortError, match="suggested_site"):
        hippocampus_tables(tmp_path, tmp_path / "out")
