"""Judged cases without images: what summaries, subgroups and comparisons are made from."""

from typing import Any

import numpy as np

from fedvoxel.evaluation.judgement.case_result import CaseResult
from fedvoxel.evaluation.judgement.confidence import BINS, Reliability, reliability_of
from fedvoxel.evaluation.judgement.structure_score import StructureScore

NAME = "lesion"
DIAGONAL_MM = 100.0


def score(dice: float | None = 0.8, **changes: Any) -> StructureScore:
    """A structure that was found; of Dice 0 one that was missed; of None one that is nowhere."""
    finding = "absent" if dice is None else "missed" if dice == 0 else "found"
    values: dict[str, Any] = {
        "finding": finding,
        "dice": dice,
        "nsd": dice,
        "hd95_mm": None if dice is None else DIAGONAL_MM if dice == 0 else 2.0,
        "truth_ml": 0.0 if dice is None else 10.0,
        "predicted_ml": 9.5 if dice else 0.0,
    }
    return StructureScore(**(values | changes))


def sure(right: bool = True) -> Reliability:
    """Forty voxels, half of them marked, of which the model is nearly sure."""
    truth = np.arange(40).reshape(2, 4, 5) % 2 == 0
    said = np.where(truth == right, 0.98, 0.02).astype(np.float32)
    return reliability_of(said, truth)


def nothing() -> Reliability:
    """No voxel in the band."""
    return Reliability(np.zeros(BINS), np.zeros(BINS), np.zeros(BINS), 0.0)


def case(number: int, dice: float | None = 0.8, other: float | None = -1.0, **changes: Any) -> CaseResult:
    """One case of a patient of its own; `other` is what it is compared with, by default nothing."""
    values: dict[str, Any] = {
        "case": f"case-{number:03d}",
        "patient": f"patient-{number:03d}",
        "hospital": "hospital-a",
        "known": {},
        "scores": {NAME: score(dice)},
        "other": None if other == -1.0 else {NAME: score(other)},
        "reliability": {NAME: sure(bool(dice))},
    }
    return CaseResult(**(values | changes))
