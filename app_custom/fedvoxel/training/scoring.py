"""Scores a predicted label map against the truth, per class, with MONAI's metrics."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance
from numpy.typing import NDArray

from fedvoxel.updates.scores import CaseScore

Labels = NDArray[np.uint8]


def score_case(
    case: str, predicted: Labels, truth: Labels, classes: Sequence[str], spacing_mm: Sequence[float], surfaces: bool
) -> CaseScore:
    """Scores one case.

    Args:
        case: Pseudonym.
        predicted: Label codes (X, Y, Z), 0 background, code 1 + index in `classes`.
        truth: Label codes on the same grid.
        classes: Class names.
        spacing_mm: Voxel size along X, Y, Z in mm.
        surfaces: Whether to compute the Hausdorff distance, which costs more than all else.

    Returns:
        Dice in [0, 1], None where neither map holds the class; HD95 in mm, None where either lacks it or it was
        not asked for. Source: MONAI's compute_dice and compute_hausdorff_distance (percentile 95, symmetric).
    """
    predicted_1, truth_1 = _one_hot(predicted, len(classes)), _one_hot(truth, len(classes))
    dice = compute_dice(predicted_1, truth_1, include_background=True, ignore_empty=False)[0]
    both_empty = ~(predicted_1.flatten(2).any(2) | truth_1.flatten(2).any(2))[0]
    hd95 = _hd95_mm(predicted_1, truth_1, spacing_mm) if surfaces else torch.full((len(classes),), float("nan"))
    return CaseScore(
        case=case,
        dice={name: None if both_empty[i] else float(dice[i]) for i, name in enumerate(classes)},
        hd95_mm={name: float(hd95[i]) if torch.isfinite(hd95[i]) else None for i, name in enumerate(classes)},
    )


def mean_dice_by_class(scores: Sequence[CaseScore], classes: Sequence[str]) -> dict[str, float | None]:
    """Returns the mean Dice of each class over the cases that have it, None where none has."""
    return {name: _mean([score.dice[name] for score in scores]) for name in classes}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _one_hot(codes: Labels, class_count: int) -> torch.Tensor:
    planes = np.stack([codes == code for code in range(1, class_count + 1)])
    return torch.from_numpy(planes)[None]


def _hd95_mm(predicted: torch.Tensor, truth: torch.Tensor, spacing_mm: Sequence[float]) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(prediction|ground truth).*all 0.*")
        # MONAI calls a function of its own with an argument that it deprecates itself.
        warnings.filterwarnings("ignore", category=FutureWarning, module="monai")
        distance: torch.Tensor = compute_hausdorff_distance(
            predicted, truth, include_background=True, percentile=95, spacing=[float(length) for length in spacing_mm]
        )[0]
    return distance
