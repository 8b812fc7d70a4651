"""Real series end as cases; odd and hostile files end as cases or refusals, every one of them, and in silence."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from fedvoxel.dicom.series import find_series
from fedvoxel.volumes.check import check_cohort
from fedvoxel.volumes.cohort.build import build_cohort
from tests.volumes.cohort.studies import cohort_values, files_in, real_study, site_of
from tests.volumes.scans import KEY, write_nifti

ROOT = Path(__file__).resolve().parents[3]
REAL = {
    "hippocrop1": "hippocrop/Study1",
    "hippocrop2": "hippocrop/Study2",
    "hippocrop3": "hippocrop/Study3",
    "prostate": "prostatex/ProstateX-0000/4.000000-t2tsetra-00702",
    "adc": "prostatex/ProstateX-0000/7.000000-ep2ddifftraDYNDISTADC-48780",
}
KEPT_FACES = {"project": "real", "faces": "kept"}


@pytest.mark.slow
def test_real_series_become_cases(data_folder: Path, tmp_path: Path) -> None:
    there = {name: data_folder / "dicom_studies" / place for name, place in REAL.items()}
    there = {name: folder for name, folder in there.items() if folder.is_dir()}
    for name, folder in there.items():
        real_study(folder, tmp_path / "dicom", name)
    site = site_of(cohort_values({"folder": "dicom"}, deid=KEPT_FACES))
    report = build_cohort(site, "main", tmp_path, 2)
    assert report.refused_per_reason == {} and report.manifest.files_refused == {}
    usable = check_cohort(site, "main", None, tmp_path).usable
    assert len(usable) == len(there) >= 3
    assert {case.voxels_per_class["front"] for case in usable} == {3 * 10 * 6}
    for case in usable:
        written = nibabel.load(tmp_path / "built" / "images" / f"{case.case}.nii.gz")
        assert np.allclose(written.header.get_zooms(), case.spacing_mm, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_every_odd_file_ends_in_a_case_or_a_refusal(data_folder: Path, tmp_path: Path, modality: str) -> None:
    source = data_folder / "dicom_odd"
    inventory = find_series(source)
    write_nifti(tmp_path / "labels" / "any.nii.gz", np.ones((4, 4, 4), np.uint8))
    rows = ["series,label", *(f"{series.series_uid},any.nii.gz" for series in inventory.series)]
    (tmp_path / "labels" / "table.csv").write_text("\n".join(rows) + "\n")
    cohort = cohort_values(
        {"folder": str(source)},
        image={"modality": modality},
        labels={"kind": "nifti", "table": "labels/table.csv", "codes": {"front": 1, "back": 2}},
        deid={**KEPT_FACES, "unnamed_patients": "by_study"},
    )
    (tmp_path / "site.json").write_text(
        json.dumps({"schema_version": 1, "pseudonym_key": KEY, "cohorts": {"main": cohort}})
    )
    before = sorted(path for path in tmp_path.rglob("*"))
    done = command(tmp_path, "cohort", "build", "--site", str(tmp_path / "site.json"), "--cohort", "main", "--json")
    said = json.loads(done.stdout)
    assert done.returncode in (0, 5), done.stderr
    wanted = [series for series in inventory.series if series.modality == modality and len(series.paths) > 1]
    settled = said["cases"] + len(said["refused"])
    assert settled >= len(wanted) > 0
    if modality == "MR":  # a label on another grid: the image was fine
        assert {"shape_mismatch", "affine_mismatch"} & set(said["refused_per_reason"])
    assert "unexpected_error" not in said["refused_per_reason"], said["refused"]
    assert not {"crashed", "timed_out", "out_of_memory"} & set(said["refused_per_reason"])
    assert said["files_refused"] == dict(inventory.refused)
    outside = [path for path in tmp_path.rglob("*") if path not in before and tmp_path / "built" not in path.parents]
    assert outside == [tmp_path / "built"]
    assert_silent(done.stdout + done.stderr, tmp_path, inventory)


def command(base: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    paths = os.environ | {"PYTHONPATH": str(ROOT / "app_custom")}
    return subprocess.run(
        [sys.executable, "-m", "fedvoxel.cli.main", *words],
        env=paths,
        cwd=base,
        capture_output=True,
        text=True,
        timeout=540,
    )


def assert_silent(said: str, base: Path, inventory: Any) -> None:
    """Nothing that a header says of a patient, and no UID, is in what was said or written."""
    secrets = Counter[str]()
    for series in inventory.series:
        secrets.update([series.series_uid, series.study_uid, series.frame_of_reference_uid])
        secrets.update([series.patient_id] if len(series.patient_id.strip()) > 3 else [])
        secrets.update(path.name for path in series.paths if len(path.stem) > 8)
    told = said + "".join(
        content.decode(errors="replace")
        for name, content in files_in(base / "built").items()
        if not name.endswith(".gz")
    )
    assert not [secret for secret in secrets if secret and secret in told]
