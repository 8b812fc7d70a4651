"""How well two forms of a model agree, and how well they must.

Two forms never give the same bits: sums are taken in another order. What a reader sees is the label and the
probability, so those are compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import PackageError

LEAST_ARGMAX = 0.9999
"""Least share of voxels to which both forms must give the same label."""

LARGEST_SOFTMAX = 1e-3
"""Largest difference of a probability that is accepted."""

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """Is what a comparison has found.

    Attributes:
        voxels: How many were compared.
        argmax: Share of them with the same label.
        softmax: Largest difference of a probability.
    """

    voxels: int
    argmax: float
    softmax: float

    @property
    def holds(self) -> bool:
        """Says whether the two forms agree well enough; NaN never does."""
        return self.argmax >= LEAST_ARGMAX and self.softmax <= LARGEST_SOFTMAX


def compare(logits: Logits, reference: Logits) -> Agreement:
    """Compares two forms' logits of the same images, (N, C, X, Y, Z).

    Raises:
        PackageError: They have different shapes.
    """
    if logits.shape != reference.shape:
        raise PackageError(f"expected logits of the shape {reference.shape}, got {logits.shape}")
    same = int(np.count_nonzero(logits.argmax(1) == reference.argmax(1)))
    voxels = reference.size // reference.shape[1]
    difference = np.abs(softmax(logits) - softmax(reference)).max()
    return Agreement(voxels, same / voxels, float(difference))


def together(parts: Sequence[Agreement]) -> Agreement:
    """Returns the agreement over several comparisons."""
    voxels = sum(part.voxels for part in parts)
    argmax = sum(part.argmax * part.voxels for part in parts) / voxels
    # max() would pass over a NaN that is not first.
    return Agreement(voxels, argmax, float(np.max([part.softmax for part in parts])))


def softmax(logits: Logits) -> NDArray[np.float64]:
    """Returns probabilities over axis 1."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))
