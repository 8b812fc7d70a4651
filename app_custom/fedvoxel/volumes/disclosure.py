"""What a site may say about a group of cases: nothing that is about fewer than a minimum number of them.

Statistical disclosure control as registries practise it, not a formal privacy guarantee: counts below the minimum
are suppressed, and an ordered value is given as the mean of the cases around its rank (microaggregation).
Who knows the rules and every value that can occur can infer suppressed counts in one corner: where each of them is
just below the minimum.
Source: Hundepool et al. 2012, Statistical Disclosure Control, sections 3.6 and 5.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
OTHER = "other"
JOINT = " · "
QUANTILE_NAMES = tuple(f"q{round(100 * quantile):02d}" for quantile in QUANTILES)


def disclosed_counts(counts: Mapping[str, int], minimum: int) -> dict[str, int | None]:
    """Returns the counts of the parts of a known whole, with None where they would tell of a small group.

    What is suppressed can be computed as one sum, from the whole and the others: so the smallest other parts go with
    it until that sum is not small either. Zeros stay: they are about nobody.
    """
    small = {name for name, count in counts.items() if 0 < count < minimum}
    for name in sorted((name for name in counts if counts[name] >= minimum), key=lambda name: (counts[name], name)):
        if not 0 < sum(counts[hidden] for hidden in small) < minimum:
            break
        small.add(name)
    return {name: None if name in small else count for name, count in counts.items()}


def merged_counts(counts: Mapping[str, int], minimum: int) -> dict[str, int]:
    """Returns the counts with all that `disclosed_counts` suppresses put together as `OTHER`.

    A value that few have is thus not even named. Zeros are left out; nothing is left of a whole below the minimum.
    """
    told = disclosed_counts(counts, minimum)
    rest = sum(counts[name] for name, count in told.items() if count is None)
    if 0 < rest < minimum:
        return {}
    return {name: count for name, count in told.items() if count} | ({OTHER: rest} if rest else {})


def rolled_up_names(counts: Mapping[tuple[str, ...], int], minimum: int) -> dict[tuple[str, ...], str]:
    """Returns in which part each value with sub-parts, such as (maker, model), is told: one division of the whole.

    With one table for makers and one for models, a small group could be computed from both. Small sub-parts are put
    together within their part, what is small even so within the part above; see `merged_counts` for the rest.
    """
    place = {name: name for name in counts}
    for depth in range(max(map(len, counts), default=1) - 1, 0, -1):
        for end in ((OTHER,), ()):
            sizes = _sizes(place, counts)
            place = {
                name: (*at[:depth], *end) if len(at) == depth + 1 and sizes[at] < minimum else at
                for name, at in place.items()
            }
    told = merged_counts({JOINT.join(at): size for at, size in _sizes(place, counts).items()}, minimum)
    return {name: joined if (joined := JOINT.join(at)) in told else OTHER for name, at in place.items()}


def _sizes(
    place: Mapping[tuple[str, ...], tuple[str, ...]], counts: Mapping[tuple[str, ...], int]
) -> Counter[tuple[str, ...]]:
    sizes: Counter[tuple[str, ...]] = Counter()
    for name, at in place.items():
        sizes[at] += counts[name]
    return sizes


def merged_bands(values: Sequence[float], edges: Sequence[float], minimum: int) -> list[tuple[float, float, int]]:
    """Returns (low, high, count) of bands that cover all numbers, each of at least `minimum` values.

    Args:
        values: One number per case or patient.
        edges: Where a band may begin, ascending; bands with few values, or none, are joined with the next.
        minimum: How many values each band holds; fewer values than that give no band.
    """
    bands: list[tuple[float, float, int]] = []
    low, count = -math.inf, 0
    for lower, upper in zip((-math.inf, *edges), (*edges, math.inf), strict=True):
        count += sum(lower <= value < upper for value in values)
        if count >= minimum:
            bands.append((low, upper, count))
            low, count = upper, 0
    if bands:
        first, _, last = bands[-1]
        bands[-1] = (first, math.inf, last + count)
    return bands


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


def grouped_quantiles(values: Sequence[float], minimum: int) -> dict[str, float]:
    """Returns the quantiles `QUANTILES`, each the mean of the group of values in which its rank lies, to 6 digits.

    The values in order are divided once into groups of at least `minimum`, so that two results are about the same
    cases or about none in common. Those of `disclosed_quantiles` overlap, and follow the values more closely: the
    difference of two can tell how far apart two single cases are, which a page that is handed on must not.

    Args:
        values: One number per case; at least `minimum` of them.
        minimum: How many cases each result is about, at least.

    Raises:
        ValueError: There are fewer values than the minimum.
    """
    if len(values) < minimum:
        raise ValueError(f"expected at least {minimum} values, got {len(values)}")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    groups = np.array_split(ordered, max(ordered.size // minimum, 1))
    ends = np.cumsum([group.size for group in groups])
    ranks = (round(quantile * (ordered.size - 1)) for quantile in QUANTILES)
    means = (groups[int(np.searchsorted(ends, rank, side="right"))].mean() for rank in ranks)
    return {name: float(f"{mean:.6g}") for name, mean in zip(QUANTILE_NAMES, means, strict=True)}
