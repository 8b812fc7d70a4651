"""Whether predicted volumes can stand in for true ones: Bland and Altman's limits of agreement.

Each patient counts once, with the mean of all scans: intervals are then right, if anything too wide, where some have
several.

Source: Bland and Altman, "Measuring agreement in method comparison studies", Statistical Methods in Medical Research 8,
1999, sections 2 and 3.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel

CONFIDENCE = 0.95
FEWEST = 3
_NORMAL = 1.959963984540054
IMPLEMENTATION = "Bland-Altman 1999: bias ± 1.96 SD with t intervals; Pitman-Morgan test (scipy.stats.pearsonr)"


class Limit(FrozenModel):
    """Is a number in mL with its 95 % interval."""

    value_ml: float
    low_ml: float
    high_ml: float


class VolumeAgreement(FrozenModel):
    """Says how predicted minus true volumes spread.

    Attributes:
        patients: How many.
        bias: Their mean.
        lower: Below it lie one in forty differences, if they are normal.
        upper: Above it lie one in forty.
        slope: By how many mL the difference grows with each mL of volume.
        proportional_r: Correlation of differences with means; None where either does not vary.
        proportional_p: How often chance alone gives as much; None likewise.
    """

    patients: int
    bias: Limit
    lower: Limit
    upper: Limit
    slope: float | None = None
    proportional_r: float | None = None
    proportional_p: float | None = None


def agreement_of(
    predicted_ml: Sequence[float], truth_ml: Sequence[float], patients: Sequence[str]
) -> VolumeAgreement | None:
    """Compares volumes, one of each a case; None of fewer than `FEWEST` patients."""
    from scipy import stats

    first, second = _patient_means(predicted_ml, patients), _patient_means(truth_ml, patients)
    count = first.size
    if count < FEWEST:
        return None
    differences, means = first - second, (first + second) / 2.0
    bias, spread = float(differences.mean()), float(differences.std(ddof=1))
    reach = float(stats.t.ppf((1.0 + CONFIDENCE) / 2.0, count - 1)) * spread
    of_bias, of_limit = reach / np.sqrt(count), reach * np.sqrt(1.0 / count + _NORMAL**2 / (2.0 * (count - 1)))
    limits = [
        Limit(value_ml=value, low_ml=value - float(around), high_ml=value + float(around))
        for value, around in ((bias, of_bias), (bias - _NORMAL * spread, of_limit), (bias + _NORMAL * spread, of_limit))
    ]
    found = VolumeAgreement(patients=count, bias=limits[0], lower=limits[1], upper=limits[2])
    if np.ptp(differences) == 0 or np.ptp(means) == 0:
        return found
    test = stats.pearsonr(differences, means)
    slope = float(np.polyfit(means, differences, 1)[0])
    told = {"slope": slope, "proportional_r": float(test.statistic), "proportional_p": float(test.pvalue)}
    return found.model_copy(update=told)


def _patient_means(values: Sequence[float], patients: Sequence[str]) -> NDArray[np.float64]:
    groups: dict[str, list[float]] = {}
    for value, patient in zip(values, patients, strict=True):
        groups.setdefault(patient, []).append(value)
    return np.array([np.mean(group) for group in groups.values()], dtype=np.float64)
