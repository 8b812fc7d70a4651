"""One temperature for a network's probabilities, chosen on sums that hospitals can add up.

Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2: the logits are divided by a
temperature that minimises the negative log-likelihood of held-out truth. It changes no most probable class.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.calibration.moments import Count

TEMPERATURES = tuple(float(f"{value:.4g}") for value in np.geomspace(0.25, 8.0, 61))
"""The temperatures that are tried: 6 % apart."""

BINS = 15

_PerTemperature = Annotated[tuple[float, ...], Field(min_length=len(TEMPERATURES), max_length=len(TEMPERATURES))]
_PerBin = Annotated[tuple[float, ...], Field(min_length=BINS, max_length=BINS)]


class LikelihoodSums(FrozenModel):
    """Holds the summed negative log-likelihood of some voxels' truth at each of `TEMPERATURES`.

    Attributes:
        voxels: How many voxels were added up.
        loss: Their summed loss at each temperature, in nats.
    """

    voxels: Count
    loss: _PerTemperature

    @property
    def best(self) -> float:
        """Returns the temperature with the least loss."""
        return TEMPERATURES[int(np.argmin(self.loss))]


class ReliabilitySums(FrozenModel):
    """Holds, for each of `BINS` equal bins of confidence, how many voxels fell in it and how often they were right.

    Attributes:
        voxels: How many.
        confidence: Sum of their probabilities.
        right: How many had their true class.
    """

    voxels: _PerBin
    confidence: _PerBin
    right: _PerBin

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if any(np.array(self.right) > np.array(self.voxels)) or min((*self.voxels, *self.right)) < 0:
            raise ValueError("more voxels are right than there are")
        return self

    @classmethod
    def of(cls, confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> "ReliabilitySums":
        """Returns the sums of some voxels' confidence (N,) in 0 to 1."""
        bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
        weights = (None, confidence, right.astype(np.float64))
        voxels, summed, correct = (
            tuple(float(value) for value in np.bincount(bins, weight, minlength=BINS)) for weight in weights
        )
        return cls(voxels=voxels, confidence=summed, right=correct)

    @property
    def error(self) -> float | None:
        """Returns the expected calibration error: how far confidence is from being right, on average over voxels.

        Source: Guo et al. 2017, section 2, with equal bins.
        """
        total = sum(self.voxels)
        if not total:
            return None
        return float(np.abs(np.array(self.confidence) - np.array(self.right)).sum() / total)


def add_likelihoods(parts: Iterable[LikelihoodSums]) -> LikelihoodSums:
    """Returns the sums over all voxels together."""
    several = list(parts)
    loss = _added([part.loss for part in several], len(TEMPERATURES))
    return LikelihoodSums(voxels=sum(part.voxels for part in several), loss=loss)


def add_reliabilities(parts: Iterable[ReliabilitySums]) -> ReliabilitySums:
    """Returns the sums over all voxels together."""
    several = list(parts)
    fields = (_added([getattr(part, name) for part in several], BINS) for name in ("voxels", "confidence", "right"))
    voxels, confidence, right = fields
    return ReliabilitySums(voxels=voxels, confidence=confidence, right=right)


def _added(rows: Sequence[Sequence[float]], size: int) -> tuple[float, ...]:
    return tuple(np.sum(np.array(rows).reshape(-1, size), axis=0).tolist())
