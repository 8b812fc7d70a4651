"""Scores one structure of one case; what was missed counts against the model.

Libraries drop a case in which one of the masks is empty (MONAI's HD95 is NaN there), so that a model which finds
nothing in its hardest cases looks better. Here it has the worst score that there is, and is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedvoxel.evaluation.judgement.components import LEAST_IOU, PieceCounts, count_pieces
from fedvoxel.evaluation.judgement.surface import Mask, diagonal_mm, surface_distances

Finding = Literal["found", "misplaced", "missed", "false_alarm", "absent"]
"""In truth and prediction; in both, in different places; in the truth alone; in the prediction alone; in neither."""

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class Yardstick:
    """Is how structures are measured.

    Attributes:
        tolerance_mm: How far a surface may be off without counting as wrong.
        pieces: Names of the structures whose pieces are counted.
    """

    tolerance_mm: float
    pieces: frozenset[str] = frozenset()


@dataclass(frozen=True)
class StructureScore:
    """Is the score of one structure in one case.

    Attributes:
        finding: Whether it is there, and whether it was found: what shares less than a tenth of the union is misplaced.
        dice: In [0, 1]; None where it is absent from both.
        nsd: Likewise.
        hd95_mm: The image's diagonal where it was missed or is a false alarm; None where it is absent from both.
        truth_ml: Its true volume.
        predicted_ml: Its predicted volume.
        pieces: Counts of its pieces, where they are counted.
    """

    finding: Finding
    dice: float | None
    nsd: float | None
    hd95_mm: float | None
    truth_ml: float
    predicted_ml: float
    pieces: PieceCounts | None = None


def score_structure(
    predicted: Mask, truth: Mask, spacing_mm: Sequence[float], tolerance_mm: float, count: bool = False
) -> StructureScore:
    """Scores a structure.

    Args:
        predicted: (X, Y, Z) on the original image's voxels.
        truth: Likewise.
        spacing_mm: The size of the voxels.
        tolerance_mm: That of the surface.
        count: Whether to count its pieces.
    """
    voxel_ml = float(np.prod(spacing_mm)) / MM3_PER_ML
    sizes = int(np.count_nonzero(predicted)), int(np.count_nonzero(truth))
    volumes = {"predicted_ml": sizes[0] * voxel_ml, "truth_ml": sizes[1] * voxel_ml}
    pieces = count_pieces(predicted, truth) if count else None
    if not any(sizes):
        return StructureScore("absent", None, None, None, **volumes, pieces=pieces)
    if not all(sizes):
        finding: Finding = "missed" if sizes[1] else "false_alarm"
        return StructureScore(finding, 0.0, 0.0, diagonal_mm(truth.shape, spacing_mm), **volumes, pieces=pieces)
    distances = surface_distances(predicted, truth, spacing_mm)
    shared = int(np.count_nonzero(predicted & truth))
    return StructureScore(
        finding="found" if shared >= LEAST_IOU * (sum(sizes) - shared) else "misplaced",
        dice=2 * shared / sum(sizes),
        nsd=distances.within(tolerance_mm),
        hd95_mm=distances.hd95_mm,
        **volumes,
        pieces=pieces,
    )
