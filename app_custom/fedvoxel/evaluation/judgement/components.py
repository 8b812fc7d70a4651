"""Counts lesions, or other pieces: which of the truth's were found, and which of the model's are none.

A piece is what touches by faces, edges or corners. A piece of the truth is found by one of the model's where the two
share at least a tenth of their union; each finds at most one, the best pairs first.

Source: Maier-Hein et al., "Metrics reloaded", Nature Methods 21, 2024: object detection with mask IoU as localisation
criterion and greedy matching; a low threshold, as small structures need one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.judgement.surface import Mask, box_of

LEAST_IOU = 0.1
IMPLEMENTATION = "fedvoxel pieces on scipy.ndimage.label, 26 neighbours, IoU of at least 0.1, one to one"


@dataclass(frozen=True)
class PieceCounts:
    """Says how many pieces there are.

    Attributes:
        truth: Of the truth.
        found: Of these, found by the model.
        false: Of the model, which find none.
    """

    truth: int
    found: int
    false: int


def count_pieces(predicted: Mask, truth: Mask) -> PieceCounts:
    """Counts the pieces of two masks (X, Y, Z)."""
    both = predicted | truth
    if not both.any():
        return PieceCounts(truth=0, found=0, false=0)
    box = box_of(both)
    first, of_model = _pieces(predicted[box])
    second, of_truth = _pieces(truth[box])
    found = _pairs(first, second)
    return PieceCounts(truth=of_truth, found=found, false=of_model - found)


def _pieces(mask: Mask) -> tuple[NDArray[np.int32], int]:
    from scipy import ndimage

    numbered, count = ndimage.label(mask, np.ones((3, 3, 3), np.uint8))
    return np.asarray(numbered, np.int32), int(count)


def _pairs(first: NDArray[np.int32], second: NDArray[np.int32]) -> int:
    both = (first > 0) & (second > 0)
    pairs, shared = np.unique(np.stack([first[both], second[both]]), axis=1, return_counts=True)
    sizes_1, sizes_2 = np.bincount(first.ravel()), np.bincount(second.ravel())
    union = sizes_1[pairs[0]] + sizes_2[pairs[1]] - shared
    taken_1: set[int] = set()
    taken_2: set[int] = set()
    for place in np.argsort(-shared / union, kind="stable"):
        one, other = int(pairs[0, place]), int(pairs[1, place])
        if shared[place] / union[place] >= LEAST_IOU and one not in taken_1 and other not in taken_2:
            taken_1.add(one)
            taken_2.add(other)
    return len(taken_1)
