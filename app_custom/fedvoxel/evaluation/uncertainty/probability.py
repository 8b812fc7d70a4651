"""Probabilities of classes, plane by plane: tempered, their entropy, and where anything but background is possible."""

import numpy as np
from numpy.typing import NDArray

Voxels = NDArray[np.float32]

BAND_LEAST = 0.05
"""Least probability of any structure for a voxel to count: the rest is sure background, and would hide everything."""

_TINY = np.float32(1e-12)


def tempered(probabilities: Voxels, temperature: float) -> Voxels:
    """Returns the softmax of logits that are divided by a temperature, float32 of the same shape.

    Args:
        probabilities: (classes, ...) softmax of the undivided logits, which the result needs nothing else of.
        temperature: Above 1 makes them less sure.
    """
    if temperature == 1.0:
        return probabilities
    logits = np.asarray(np.log(np.maximum(probabilities, _TINY)) / np.float32(temperature), np.float32)
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    return logits


def entropy_of(probabilities: Voxels) -> Voxels:
    """Returns the entropy of classes (classes, X, Y, Z) at each voxel, 0 (sure) to 1 (all equally probable)."""
    total = np.zeros(probabilities.shape[1:], np.float32)
    for channel in probabilities:
        total -= channel * np.log(np.maximum(channel, _TINY))
    return total / np.float32(np.log(len(probabilities)))


def band_of(probabilities: Voxels) -> NDArray[np.bool_]:
    """Returns where some structure has a probability of at least `BAND_LEAST`, (X, Y, Z)."""
    return np.asarray(probabilities[0] <= 1 - BAND_LEAST)


def labels_of(probabilities: Voxels) -> NDArray[np.uint8]:
    """Returns the most probable class of each voxel, (X, Y, Z)."""
    label = np.zeros(probabilities.shape[1:], np.uint8)
    best = probabilities[0].copy()
    for code in range(1, len(probabilities)):
        label[probabilities[code] > best] = code
        np.maximum(best, probabilities[code], out=best)
    return label


def dice_of(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float | None:
    """Returns the Dice of two masks, 0 to 1; None where both are empty."""
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    return 2 * int(np.count_nonzero(first & second)) / total if total else None
