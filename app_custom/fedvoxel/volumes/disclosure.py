"""What a site may say about a group of cases: nothing that is about fewer than a minimum number of them.

Statistical disclosure control as registries practise it, not a formal privacy guarantee: counts below the minimum
are suppressed, and an ordered value is given as the mean of the cases around its rank (microaggregation).
Source: Hundepool et al. 2012, Statistical Disclosure Control, sections 3.6 and 5.
"""

from collections.abc import Mapping, Sequence

import numpy as np

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
QUANTILE_NAMES = tuple(f"q{round(100 * quantile):02d}" for quantile in QUANTILES)


def disclosed_counts(counts: Mapping[str, int], minimum: int) -> dict[str, int | None]:
    """Returns the counts of the parts of a known whole, with None where they would tell of a small group.

    One suppressed part could be computed from the whole and the others, so the smallest other part goes with it.
    Zeros stay: they are about nobody.
    """
    small = {name for name, count in counts.items() if 0 < count < minimum}
    others = sorted((count, name) for name, count in counts.items() if count >= minimum)
    if len(small) == 1 and others:
        small.add(others[0][1])
    return {name: None if name in small else count for name, count in counts.items()}


def disclosed_part(part: int, whole: int, minimum: int) -> int | None:
    """Returns how many of `whole` cases are in a part, or None if the part or the rest is a small group."""
    return None if 0 < part < minimum or 0 < whole - part < minimum else part


def disclosed_quantiles(values: Sequence[float], minimum: int) -> dict[str, float]:
    """Returns the quantiles `QUANTILES`, each the mean of the `minimum` values next to its rank, to 6 digits.

    Args:
        values: One number per case; at least `minimum` of them.
        minimum: How many cases each result is about.

    Raises:
        ValueError: There are fewer values than the minimum.
    """
    if len(values) < minimum:
        raise ValueError(f"expected at least {minimum} values, got {len(values)}")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    starts = (round(quantile * (ordered.size - 1)) - minimum // 2 for quantile in QUANTILES)
    windows = (int(np.clip(start, 0, ordered.size - minimum)) for start in starts)
    means = (ordered[start : start + minimum].mean() for start in windows)
    return {name: float(f"{mean:.6g}") for name, mean in zip(QUANTILE_NAMES, means, strict=True)}
