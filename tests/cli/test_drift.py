"""`fedvoxel drift`: stable is 0, drift is 28 and named, and a package without a calibration is told what it lacks."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.export.package import Package
from fedvoxel.federation.calibration.score_counts import count_scores
from tests.evaluation.drift.test_watch import results
from tests.evaluation.inference.command import root_file
from tests.export.made_calibration import made_calibration
from tests.export.package_sample import sample_description, sample_package
from tests.federation.drift.test_signs import EDGES, distances

Captured = pytest.CaptureFixture[str]


def package(folder: Path, calibrated: bool = True) -> Package:
    names = tuple(structure.name for structure in sample_description().structures)
    made = made_calibration(None, names).model_copy(update={"distances": count_scores(distances(120, 0), EDGES, 5)})
    members = {"calibration.json": made.model_dump_json().encode()} if calibrated else None
    return sample_package(folder, members=members)


def drift(folder: Path, opened: Package, *more: str) -> int:
    return main(["drift", str(opened.path), str(folder / "results"), "--root", str(root_file(folder)), *more])


def filled(folder: Path, opened: Package, count: int, factor: float = 1.0) -> None:
    results(folder / "results", count, factor, model={"package_sha256": opened.sha256})


def test_images_like_those_of_the_calibration_end_with_0(tmp_path: Path, capsys: Captured) -> None:
    filled(tmp_path, opened := package(tmp_path), 60)
    assert drift(tmp_path, opened) == 0
    told = capsys.readouterr().out
    assert "The newest 60 images" in told and "farther away" in told and "drift" not in told


def test_other_images_end_with_28(tmp_path: Path, capsys: Captured) -> None:
    filled(tmp_path, opened := package(tmp_path), 60, 1.8)
    assert drift(tmp_path, opened, "--json", "--out", str(tmp_path / "report")) == 28
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["verdict"] == "drift" and "images" in {sign["of"] for sign in found["alarms"]}
    assert "docs/drift.md" in told.err
    assert json.loads((tmp_path / "report" / "drift.json").read_text()) == found


def test_few_images_are_no_alarm(tmp_path: Path, capsys: Captured) -> None:
    filled(tmp_path, opened := package(tmp_path), 5, 9.0)
    assert drift(tmp_path, opened) == 0 and "too few to say" in capsys.readouterr().out


def test_a_package_without_calibration_is_refused_with_what_to_do(tmp_path: Path, capsys: Captured) -> None:
    filled(tmp_path, opened := package(tmp_path, calibrated=False), 1)
    assert drift(tmp_path, opened) == 3
    assert "calibrate it before it is released" in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_no_stable_model(tmp_path: Path, capsys: Captured) -> None:
    assert drift(tmp_path, package(tmp_path)) == 3 and "predict" in capsys.readouterr().err


def test_help_shows_an_example(capsys: Captured) -> None:
    assert main(["drift", "--help"]) == 0
    assert "Example: fedvoxel drift" in capsys.readouterr().out
