"""`fedvoxel job watch`: the job's counts are those of the signed package, and nobody else's."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.export.calibration import calibration_of
from fedvoxel.export.package import Package
from fedvoxel.federation.drift.reference import WatchQuestion, reference_of
from fedvoxel.flare.job_kinds import understand
from fedvoxel.governance.job_folder import read_job_folder
from tests.cli.test_drift import package
from tests.evaluation.inference.command import root_file

JOBS = Path(__file__).resolve().parents[2] / "jobs"
Captured = pytest.CaptureFixture[str]


def watch(folder: Path, opened: Package, *more: str, job: str = "drift_watch") -> int:
    words = ["job", "watch", str(JOBS / job), str(opened.path), "--root", str(root_file(folder))]
    return main([*words, "--out", str(folder / "watch"), *more])


def test_the_job_holds_the_packages_hash_structures_and_counts(tmp_path: Path, capsys: Captured) -> None:
    opened = package(tmp_path)
    assert watch(tmp_path, opened, "--cohort", "blobs", "--model", "liver") == 0
    assert "fedvoxel job check" in capsys.readouterr().out
    made = understand(read_job_folder(tmp_path / "watch"))
    calibration = calibration_of(opened)
    assert calibration and isinstance(made.server, WatchQuestion)
    assert made.server.reference == reference_of(calibration) and made.server.package == opened.sha256
    assert made.client.classes == calibration.plan.structures and made.client.cohort == "blobs"
    assert made.server.model == "liver"


def test_the_name_is_the_packages_where_none_is_given(tmp_path: Path, capsys: Captured) -> None:
    opened = package(tmp_path)
    assert watch(tmp_path, opened, "--json") == 0
    assert json.loads(capsys.readouterr().out)["set"]["model"] == opened.description.name


@pytest.mark.parametrize(
    ("calibrated", "job", "words"), [(False, "drift_watch", "no calibration"), (True, "reader_study", "unknown key")]
)
def test_what_cannot_be_watched_writes_no_job(
    tmp_path: Path, capsys: Captured, calibrated: bool, job: str, words: str
) -> None:
    assert watch(tmp_path, package(tmp_path, calibrated), job=job) == 3
    assert words in capsys.readouterr().err and not (tmp_path / "watch").exists()


def test_a_package_that_is_not_trusted_is_refused(tmp_path: Path) -> None:
    opened = package(tmp_path)
    content = bytearray(opened.path.read_bytes())
    content[len(content) // 2] ^= 1
    opened.path.write_bytes(content)
    assert watch(tmp_path, opened) == 17 and not (tmp_path / "watch").exists()


def test_help_shows_an_example(capsys: Captured) -> None:
    assert main(["job", "watch", "--help"]) == 0
    assert "Example: fedvoxel job watch" in capsys.readouterr().out
