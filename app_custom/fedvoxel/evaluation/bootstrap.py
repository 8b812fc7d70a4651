"""Intervals from cases: how far a mean, or a mean paired difference, could be off by the luck of which cases came.

The percentile bootstrap resamples cases, so it covers the choice of cases, and neither the choice of the training
seed nor of the sites. With around ten cases it is somewhat too narrow (about 90 % instead of 95 %), which is why
reports make no quality claim from so few.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 10_000
_BLOCK = 1_000  # resamples drawn at once: bounds memory to 1,000 x cases


@dataclass(frozen=True)
class Estimate:
    """Holds a mean over cases with its 95 % interval.

    Attributes:
        cases: How many values the mean is taken over.
        mean: The mean; None without a value.
        low: Lower end of the interval; None with fewer than two values, from which nothing can be known about spread.
        high: Upper end of the interval.
    """

    cases: int
    mean: float | None
    low: float | None
    high: float | None


def estimate_mean(values: Sequence[float], seed: int = 0) -> Estimate:
    """Estimates the mean of `values` with a percentile bootstrap interval.

    Args:
        values: One finite number per case.
        seed: Seeds the resampling, so that a report says the same when it is made again.

    Raises:
        ValueError: A value is not finite.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
    """
    sample = np.asarray(values, dtype=np.float64)
    if not np.isfinite(sample).all():
        raise ValueError("cannot estimate a mean from values that are not finite")
    if sample.size == 0:
        return Estimate(0, None, None, None)
    if sample.size == 1:
        return Estimate(1, float(sample[0]), None, None)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(_resampled_means(sample, seed), [tail, 1.0 - tail])
    return Estimate(int(sample.size), float(sample.mean()), float(low), float(high))


def estimate_difference(first: Sequence[float], second: Sequence[float], seed: int = 0) -> Estimate:
    """Estimates the mean of `first` minus `second`, paired case by case, with its interval.

    Raises:
        ValueError: The two are not of the same length, or a value is not finite.
    """
    if len(first) != len(second):
        raise ValueError(f"a paired difference needs equally many values, got {len(first)} and {len(second)}")
    return estimate_mean((np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)).tolist(), seed)


def _resampled_means(sample: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    blocks = [
        sample[random.integers(0, sample.size, size=(_BLOCK, sample.size))].mean(axis=1)
        for _ in range(RESAMPLES // _BLOCK)
    ]
    return np.concatenate(blocks)
