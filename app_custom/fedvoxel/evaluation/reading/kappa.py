"""Says how far two readers agree beyond chance, on categories and on ratings; intervals by drawing cases anew."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.judgement.intervals import Estimate, Numbers, estimate


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> Estimate:
    """Returns Cohen's kappa of two readers over the same cases; no value where chance alone would agree always.

    Raises:
        ValueError: The two are not of the same length, or empty.

    Source: Cohen 1960, A coefficient of agreement for nominal scales: (p_o − p_e) / (1 − p_e).
    """
    categories = {value: place for place, value in enumerate(dict.fromkeys((*first, *second)))}
    size = len(categories)
    return _kappa([categories[value] for value in first], [categories[value] for value in second], 1.0 - np.eye(size))


def weighted_kappa(first: Sequence[int], second: Sequence[int], scale: int) -> Estimate:
    """Returns Cohen's kappa with quadratic weights of two readers' ratings 1 to `scale`; no value as for `cohen_kappa`.

    Raises:
        ValueError: The two are not of the same length, empty, or a rating is not on the scale.

    Source: Cohen 1968, Weighted kappa: 1 − Σ w·o / Σ w·e with w = (i − j)²; Fleiss and Cohen 1973 for these weights.
    """
    if any(not 1 <= rating <= scale for rating in (*first, *second)):
        raise ValueError(f"expected ratings from 1 to {scale}")
    steps = np.arange(scale)
    disagreement = np.square(steps[:, np.newaxis] - steps[np.newaxis, :]).astype(np.float64)
    return _kappa([rating - 1 for rating in first], [rating - 1 for rating in second], disagreement)


def _kappa(first: Sequence[int], second: Sequence[int], disagreement: NDArray[np.float64]) -> Estimate:
    if len(first) != len(second) or not first:
        raise ValueError(f"expected as many answers of both readers, and one at least; got {len(first)}, {len(second)}")
    answers, size = len(first), len(disagreement)
    said = np.zeros((answers, size, size))
    said[np.arange(answers), first, second] = 1.0 / answers

    def kappa(drawn: Numbers) -> Numbers:
        observed = np.tensordot(drawn, said, axes=1)
        chance = observed.sum(axis=2)[:, :, np.newaxis] * observed.sum(axis=1)[:, np.newaxis, :]
        expected = (disagreement * chance).sum(axis=(1, 2))
        with np.errstate(invalid="ignore", divide="ignore"):
            agreed = 1.0 - (disagreement * observed).sum(axis=(1, 2)) / expected
        return np.asarray(np.where(expected > 0.0, agreed, np.nan))

    return estimate(kappa, answers, answers)
