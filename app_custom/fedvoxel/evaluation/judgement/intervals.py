"""Intervals by drawing patients anew: several scans of one patient say less than scans of as many patients.

The bootstrap draws patients, each with all scans, and takes the statistic of every draw. Percentiles of few draws lie
too close together; they are widened as Student's t is wider than the normal distribution. With six patients they still
hold the truth in nine of ten tries only. What is not in them: which hospitals, readers or training seeds came.

Source: Field and Welsh, "Bootstrapping clustered data", J. R. Statist. Soc. B 69, 2007 (draws of whole clusters);
Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015, section 5.3 (expanded
percentile interval).
"""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel

CONFIDENCE = 0.95
RESAMPLES = 10_000
_BLOCK = 1_000  # draws at once: bounds memory to 1,000 x patients
IMPLEMENTATION = "expanded percentile bootstrap of patients, 10,000 draws, 95 %"

Numbers = NDArray[np.float64]
Statistic = Callable[[Numbers], Numbers]
"""Takes how often each patient was drawn (draws, patients), and returns one number a draw; NaN where there is none."""


class Estimate(FrozenModel):
    """Is a number with its 95 % interval.

    Attributes:
        value: None where nothing was measured.
        low: None with fewer than two patients, from whom nothing can be known about spread.
        high: Likewise.
        cases: How many it is taken over.
        patients: How many these are of.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    cases: int = 0
    patients: int = 0


def mean_of(values: Sequence[float], patients: Sequence[Hashable], seed: int = 0) -> Estimate:
    """Returns the mean over cases.

    Args:
        values: One finite number a case.
        patients: Whose case it is.
        seed: Seeds the draws, so that a report says the same when it is made again.
    """
    return ratio_of(values, [1.0] * len(values), patients, seed)


def ratio_of(parts: Sequence[float], wholes: Sequence[float], patients: Sequence[Hashable], seed: int = 0) -> Estimate:
    """Returns the sum of `parts` over the sum of `wholes`, one of each a case; None where the wholes are nothing."""
    above, below = _by_patient(parts, patients), _by_patient(wholes, patients)

    def ratio(drawn: Numbers) -> Numbers:
        whole = drawn @ below
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(whole > 0, (drawn @ above) / whole, np.nan))

    return estimate(ratio, len(parts), len(above), seed)


def estimate(statistic: Statistic, cases: int, patients: int, seed: int = 0) -> Estimate:
    """Returns a statistic with its interval.

    Args:
        statistic: Of patients drawn; see `Statistic`.
        cases: How many cases it is about.
        patients: Whose, in number.
        seed: Seeds the draws.
    """
    if not patients:
        return Estimate()
    value = float(statistic(np.ones((1, patients)))[0])
    if not np.isfinite(value):
        return Estimate(cases=cases, patients=patients)
    if patients < 2:
        return Estimate(value=value, cases=cases, patients=patients)
    random = np.random.default_rng(seed)
    shares = np.full(patients, 1.0 / patients)
    draws = [random.multinomial(patients, shares, _BLOCK).astype(np.float64) for _ in range(RESAMPLES // _BLOCK)]
    found = np.concatenate([statistic(block) for block in draws])
    tail = _tail(patients)
    low, high = np.quantile(found[np.isfinite(found)], [tail, 1.0 - tail])
    return Estimate(value=value, low=float(low), high=float(high), cases=cases, patients=patients)


def _tail(patients: int) -> float:
    from scipy import stats

    beyond = stats.t.ppf((1.0 - CONFIDENCE) / 2.0, patients - 1) * np.sqrt(patients / (patients - 1))
    return float(stats.norm.cdf(beyond))


def _by_patient(values: Sequence[float], patients: Sequence[Hashable]) -> Numbers:
    places = {patient: place for place, patient in enumerate(dict.fromkeys(patients))}
    sums = np.zeros(len(places))
    for value, patient in zip(values, patients, strict=True):
        sums[places[patient]] += value
    return sums
