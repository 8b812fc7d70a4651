"""What predictions have left is read without an image, and says stable, drift, or too few; never more than it knows."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.drift.summaries import read_signals
from fedvoxel.evaluation.drift.watch import LEAST_IMAGES, watch
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.plan import Spread
from fedvoxel.federation.calibration.score_counts import count_scores
from tests.export.made_calibration import made_calibration
from tests.federation.drift.test_signs import EDGES, distances

PACKAGE = "a" * 64


def calibration() -> Calibration:
    made = made_calibration(None)
    plan = made.plan.model_copy(update={"log_volumes": {"blob": Spread(mean=1.0, deviation=0.3)}})
    return made.model_copy(update={"plan": plan, "distances": count_scores(distances(120, 0), EDGES, 5)})


def write_summary(folder: Path, index: int, distance: float, volume_ml: float, **changes: Any) -> Path:
    assessment = {
        "verdict": "unusual" if distance > 1.6 else "alike",
        "distance": distance,
        "structures": {"Blob": {"confidence": 0.9, "estimated_dice": changes.pop("dice", 0.85)}},
    }
    values = {
        "model": {"package_sha256": PACKAGE},
        "structures": [{"code": 1, "label": "Blob", "volume_ml": volume_ml}],
        "assessment": assessment,
    } | changes
    path = folder / f"study-{index}" / "summary.json"
    path.parent.mkdir(parents=True, mode=0o700)  # as `fedvoxel predict` makes it
    path.write_text(json.dumps(values))
    path.chmod(0o600)
    os.utime(path, (1000 + index, 1000 + index))
    return path


def results(folder: Path, count: int, factor: float = 1.0, first: int = 0, **changes: Any) -> Path:
    volumes = np.exp(np.random.default_rng(7).normal(1.0, 0.3, count))
    for index, (distance, volume) in enumerate(zip(distances(count, 11, factor), volumes, strict=True), start=first):
        write_summary(folder, index, distance, float(volume), **changes)
    return folder


def test_images_like_those_of_the_calibration_are_stable(tmp_path: Path) -> None:
    found = watch(read_signals(results(tmp_path, 60), PACKAGE), calibration(), PACKAGE, 100, 0.7)
    assert (found.verdict, found.images, found.alarms, found.doubtful) == ("stable", 60, (), {"blob": 0})
    assert {sign.of for sign in found.signs} == {"images", "unusual", "volume"}


def test_the_newest_images_are_looked_at(tmp_path: Path) -> None:
    results(tmp_path, 60)
    results(tmp_path, 40, 1.7, first=100, dice=0.5)
    signals = read_signals(tmp_path, PACKAGE)
    found = watch(signals, calibration(), PACKAGE, 40, 0.7)
    assert found.verdict == "drift" and {sign.of for sign in found.alarms} == {"images", "unusual"}
    assert found.doubtful == {"blob": 40}
    assert watch(signals, calibration(), PACKAGE, 1000, 0.7).images == 100


def test_few_images_say_nothing(tmp_path: Path) -> None:
    found = watch(read_signals(results(tmp_path, LEAST_IMAGES - 1, 9.0), PACKAGE), calibration(), PACKAGE, 100, 0.7)
    assert (found.verdict, found.signs) == ("too few", ())


def test_what_is_of_no_use_is_counted(tmp_path: Path) -> None:
    results(tmp_path, 2)
    write_summary(tmp_path, 50, 1.0, 1.0, model={"package_sha256": "b" * 64})
    write_summary(tmp_path, 51, 1.0, 1.0, assessment=None)
    half = json.dumps({"model": {"package_sha256": PACKAGE}})
    for index, content in enumerate(("", "[]", '{"model": 3}', half)):
        write_summary(tmp_path, 60 + index, 1.0, 1.0).write_text(content)
    write_summary(tmp_path, 70, 1.0, -1.0, assessment={"verdict": "alike", "distance": -1, "structures": {}})
    signals = read_signals(tmp_path, PACKAGE)
    assert (len(signals.found), signals.others, signals.unassessed, signals.unreadable) == (2, 1, 1, 5)
    found = watch(signals, calibration(), PACKAGE, 100, 0.7)
    assert (found.unassessed, found.unreadable) == (1, 5)


def test_a_structure_that_is_not_found_moves_no_mean(tmp_path: Path) -> None:
    for index in range(30):
        write_summary(tmp_path, index, distances(30, 11)[index], 0.0)
    found = watch(read_signals(tmp_path, PACKAGE), calibration(), PACKAGE, 100, 0.7)
    assert {sign.of for sign in found.signs} == {"images", "unusual"}


def test_a_package_without_calibration_cannot_be_watched(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no calibration"):
        watch(read_signals(tmp_path, PACKAGE), None, PACKAGE, 100, 0.7)
