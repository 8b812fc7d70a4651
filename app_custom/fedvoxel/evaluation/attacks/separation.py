"""How well a score tells members from others: area under the ROC curve, and hits at few false alarms."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.bootstrap import CONFIDENCE

Values = Sequence[float] | NDArray[np.float64]

_RESAMPLES = 2_000


def auroc(members: Values, others: Values) -> float:
    """Returns the probability that a member scores higher than another, ties counted half; 0.5 is chance.

    Args:
        members: Scores of those who were in, at least one.
        others: Scores of those who were not, at least one.
    """
    first, second = np.sort(np.asarray(members, dtype=np.float64)), np.asarray(others, dtype=np.float64)
    below = np.searchsorted(first, second, side="left")
    above = len(first) - np.searchsorted(first, second, side="right")
    return float((above + (len(first) - below)).mean() / (2 * len(first)))


def auroc_interval(members: Values, others: Values, seed: int = 0) -> tuple[float, float]:
    """Returns the 95 % percentile bootstrap interval of `auroc`, members and others resampled apart.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    random = np.random.default_rng(seed)
    first, second = np.asarray(members, dtype=np.float64), np.asarray(others, dtype=np.float64)
    values = [auroc(_resampled(first, random), _resampled(second, random)) for _ in range(_RESAMPLES)]
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def rate_at(members: Values, others: Values, false_alarms: float) -> float | None:
    """Returns the share of members found where at most that share of others is taken for members.

    Args:
        members: Scores of those who were in.
        others: Scores of those who were not.
        false_alarms: In (0, 1).

    Returns:
        The share; None where there are too few others to see such a rate (100 for 1 %).
    """
    ranked = np.sort(np.asarray(others, dtype=np.float64))[::-1]
    allowed = int(np.floor(false_alarms * len(ranked) + 1e-9))
    if not allowed:
        return None
    return float((np.asarray(members, dtype=np.float64) > ranked[allowed]).mean())


def _resampled(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    return values[random.integers(0, len(values), len(values))]
