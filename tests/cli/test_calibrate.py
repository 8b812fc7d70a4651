"""`fedvoxel calibrate`: a hospital's own intervals from its own patients, or one line that says why not."""

import json
from pathlib import Path

import numpy as np
import pytest

from fedvoxel.cli.main import main
from fedvoxel.volumes.split import SplitFractions, split_of
from tests.evaluation.inference.bright_studies import LEVELS, levels
from tests.evaluation.inference.command import RANGES, root_file
from tests.export.package_sample import sample_package
from tests.volumes.scans import write_nifti

SPLIT = {"validation": 0.3, "test": 0.0}


def site_file(folder: Path, training: int, validation: int) -> Path:
    """A site with so many patients of each split."""
    wanted, rows, seed = {"training": training, "validation": validation, "test": 0}, ["case,patient,image,label"], 0
    while any(wanted.values()):
        seed += 1
        split = split_of(f"p{seed}", SplitFractions(**SPLIT))
        if not wanted[split]:
            continue
        wanted[split] -= 1
        codes = levels(seed=seed)
        image = write_nifti(folder / f"{seed}_image.nii.gz", np.array(LEVELS, np.int16)[codes])
        label = write_nifti(folder / f"{seed}_label.nii.gz", codes)
        rows.append(f"c{seed},p{seed},{image},{label}")
    (folder / "table.csv").write_text("\n".join(rows) + "\n")
    cohort = {"source": {"layout": "csv", "table": "table.csv"}, "classes": {"anterior": 1, "posterior": 2}}
    values = {"schema_version": 1, "pseudonym_key": "0" * 64, "cohorts": {"heads": cohort | {"split": SPLIT}}}
    (folder / "site.json").write_text(json.dumps(values))
    return folder / "site.json"


def command(folder: Path, site: Path) -> list[str]:
    package = sample_package(folder, input=RANGES)
    asked = ["calibrate", str(package.path), "--site", str(site), "--cohort", "heads"]
    return [*asked, "--root", str(root_file(folder)), "--out", str(folder / "own.json")]


def test_a_hospital_calibrates_for_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = command(tmp_path, site_file(tmp_path, 22, 10))
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "anterior: within a factor of 1." in said and "Next: fedvoxel predict" in said
    made = json.loads((tmp_path / "own.json").read_text())
    assert made["calibration"]["patients"] == 10 and len(made["package_sha256"]) == 64


def test_too_few_patients_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(tmp_path, site_file(tmp_path, 22, 3))) == 5
    assert "no hospital has enough validation patients" in capsys.readouterr().err
    assert not (tmp_path / "own.json").exists()
