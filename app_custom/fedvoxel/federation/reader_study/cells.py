"""Counts of the parts of a known whole, told so that no small one can be worked out.

A part with fewer cases than the minimum is told as "few". As long as it could be had by subtraction, more parts are
hidden, in an order that hangs on the places of the small ones alone: an order by size would tell of sizes. From
`least_whole` cases on this always succeeds, so that whether a table is told at all does not depend on what stands in
it. Zeros are told: they are about nobody.

This is disclosure control as registries practise it, and no formal guarantee of privacy.
Source: Hundepool et al. 2012, Statistical Disclosure Control, section 5 (primary and secondary suppression).
"""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

FEW: Literal["few"] = "few"
Told = Annotated[int, Field(ge=0, strict=True)] | Literal["few"] | None
"""A count; "few" for one from 1 to below the minimum; None for a larger one that is hidden for the sake of those."""


def least_whole(parts: int, minimum: int) -> int:
    """Returns how many cases a table of so many parts needs to be told.

    With fewer, hiding every other part may not be enough: the larger ones are known to have `minimum` cases each.
    """
    return parts * minimum - 1


def told_cells(counts: Mapping[str, int], minimum: int) -> dict[str, Told]:
    """Returns what may be told of the counts.

    Args:
        counts: Of each part, neighbours beside each other; their sum is known to everybody.
        minimum: No number that can be worked out is about fewer cases.

    Raises:
        ValueError: The whole has fewer cases than `least_whole`.
    """
    whole = sum(counts.values())
    if whole < least_whole(len(counts), minimum):
        raise ValueError(f"expected at least {least_whole(len(counts), minimum)} cases, got {whole}")
    told: dict[str, Told] = {name: FEW if 0 < count < minimum else count for name, count in counts.items()}
    names = list(told)
    first = next((place for place, name in enumerate(names) if told[name] == FEW), 0)
    others = [name for name in names if counts[name] >= minimum]
    for name in sorted(others, key=lambda name: (abs(names.index(name) - first), names.index(name))):
        if keeps_small_ones(told, whole, minimum):
            break
        told[name] = None
    return told


def keeps_small_ones(told: Mapping[str, Told], whole: int, minimum: int) -> bool:
    """Says whether each part that is told as few could be anything from 1 to below the minimum, and no count is small.

    Raises:
        ValueError: No counts are like that.
    """
    ranges = ranges_of(told, whole, minimum)
    shown = [count for count in told.values() if isinstance(count, int)]
    hidden = [ranges[name] for name, count in told.items() if count == FEW]
    return not any(0 < count < minimum for count in shown) and all(found == (1, minimum - 1) for found in hidden)


def ranges_of(told: Mapping[str, Told], whole: int, minimum: int) -> dict[str, tuple[int, int]]:
    """Returns the least and the most that each part can be, given all that is told.

    Raises:
        ValueError: No counts are like that.
    """
    alone = {name: _alone(count, whole, minimum) for name, count in told.items()}
    least, most = (sum(ends) for ends in zip(*alone.values(), strict=True))
    if any(low > high for low, high in alone.values()) or not least <= whole <= most:
        raise ValueError("the parts cannot be those of the whole")
    return {
        name: (max(low, whole - (most - high)), min(high, whole - (least - low))) for name, (low, high) in alone.items()
    }


def _alone(count: Told, whole: int, minimum: int) -> tuple[int, int]:
    if isinstance(count, int):
        return count, count
    return (1, minimum - 1) if count == FEW else (minimum, whole)
