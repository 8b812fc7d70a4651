"""The figures of benchmarks/quality follow from rows whose answer is known, and the page says them."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.parts import Values
from benchmarks.quality.measuring import auroc, estimated
from benchmarks.quality.report import write_results
from benchmarks.quality.summary import figures
from fedvoxel.evaluation.uncertainty.result_features import RESULT_FEATURES
from fedvoxel.federation.calibration.calibration import Calibration
from tests.evaluation.uncertainty import blobs


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    return blobs.calibration()


def rows(calibration: Calibration, patients: int) -> list[Values]:
    """Results whose Dice is exactly what the calibration estimates."""
    random, made = np.random.default_rng(1), []
    for patient in range(patients):
        for kind in ("clean", "noise", "motion"):
            for structure in blobs.STRUCTURES:
                model = calibration.quality[structure]
                assert model is not None
                features = np.array(model.mean) + random.normal(size=len(RESULT_FEATURES)) * np.array(model.deviation)
                row = {"case": f"p{patient}", "kind": kind, "severity": 0.5, "structure": structure, "distance": 0.5}
                row |= {"features": features.tolist(), "dice": model.estimate(features)}
                made.append({**row, "volume_ml": 1.0, "true_ml": 1.02})
    return made


def test_an_estimate_that_is_always_right_is_found_to_be(calibration: Calibration, tmp_path: Path) -> None:
    reliable = {name: [1.0] * 15 for name in ("voxels", "confidence", "right")}
    clean = {"before": reliable, "after": reliable, "auroc_entropy": 0.8, "auroc_disagreement": None}
    unlike = [{"group": "wrong", "verdict": "refused", "distance": 9.0, "name": "a"}]
    looked = [
        dict.fromkeys(("near", "near_untrained", "near_by_chance", "alike", "near_gradients", "like_gradients"), 0.5)
    ]
    found = figures(calibration, {"rows": rows(calibration, 8), "clean": [clean]}, unlike, looked)
    assert found["spearman"]["all"]["estimate"] == pytest.approx(1) and found["error"]["absolute"] == pytest.approx(0)
    assert found["spearman"]["all"]["interval"] == pytest.approx([1, 1])
    assert found["intervals"]["covered"] == 1 and found["ece_before"] == 0
    assert found["unlike"]["wrong"]["refused"] == 1 and found["test_patients"] == 8
    write_results({1: found}, tmp_path)
    page = (tmp_path / "quality.md").read_text()
    assert "| all | 1.00 (1.00 to 1.00) | 1.00 |" in page and "| motion | 16 |" in page
    write_results({}, tmp_path)
    assert "No seed is finished." in (tmp_path / "quality.md").read_text()


def test_a_row_comes_with_what_the_calibration_says_of_it(calibration: Calibration) -> None:
    row = rows(calibration, 1)[0]
    said = estimated(row, calibration)
    assert said["estimate"] == row["dice"] and said["interval_ml"][0] < 1.0 < said["interval_ml"][1]


def test_auroc_is_the_chance_that_a_wrong_voxel_has_the_higher_entropy() -> None:
    scores, wrong = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert auroc(scores, wrong) == 0.75 and auroc(scores, np.zeros(4, np.bool_)) is None
