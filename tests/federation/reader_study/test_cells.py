"""Counts that are told let no small one be worked out: looked for by brute force, over all tables that there are."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import product

import pytest

from fedvoxel.federation.reader_study.cells import (
    FEW,
    Told,
    keeps_small_ones,
    least_whole,
    ranges_of,
    told_cells,
)

MINIMUM = 5
POSSIBLE = 3
"""As many values of a small count must remain for whoever knows the whole and the rules."""

NAMES = "abcd"


def tables(parts: int, whole: int) -> Iterator[dict[str, int]]:
    for counts in product(range(whole + 1), repeat=parts - 1):
        if sum(counts) <= whole:
            yield dict(zip(NAMES, (*counts, whole - sum(counts)), strict=False))


def wholes(parts: int) -> range:
    return range(least_whole(parts, MINIMUM), least_whole(parts, MINIMUM) + 7)


def known_small_counts(function: Callable[[dict[str, int]], Mapping[str, Told]], parts: int) -> list[dict[str, int]]:
    """All tables of which a small count is known too well."""
    found = []
    for whole in wholes(parts):
        alike: dict[tuple[object, ...], list[dict[str, int]]] = defaultdict(list)
        for counts in tables(parts, whole):
            alike[tuple(function(counts).values())].append(counts)
        for group in alike.values():
            for name, count in group[0].items():
                if 0 < count < MINIMUM and len({counts[name] for counts in group}) < POSSIBLE:
                    found.append(group[0])
    return found


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_whoever_knows_the_whole_and_the_rules_cannot_tell_a_small_count(parts: int) -> None:
    assert known_small_counts(lambda counts: told_cells(counts, MINIMUM), parts) == []


@pytest.mark.parametrize("parts", [2, 3, 4])
def test_every_table_is_told_from_the_least_whole_on(parts: int) -> None:
    for whole in wholes(parts):
        for counts in tables(parts, whole):
            told = told_cells(counts, MINIMUM)
            assert keeps_small_ones(told, whole, MINIMUM), counts
            ranges = ranges_of(told, whole, MINIMUM)
            assert all(ranges[name][0] <= count <= ranges[name][1] for name, count in counts.items()), counts


def test_the_search_finds_what_subtraction_leaves_open() -> None:
    def alone(counts: dict[str, int]) -> dict[str, Told]:
        return {name: FEW if 0 < count < MINIMUM else count for name, count in counts.items()}

    found = known_small_counts(alone, 4)
    assert len(found) > 100
    assert not any(keeps_small_ones(alone(counts), sum(counts.values()), MINIMUM) for counts in found)


def test_the_search_finds_what_an_order_by_size_tells() -> None:
    """Which part goes along with a small one then says how large it is not."""

    def smallest_first(counts: dict[str, int]) -> Mapping[str, Told]:
        told: dict[str, Told] = {name: FEW if 0 < count < MINIMUM else count for name, count in counts.items()}
        for name in sorted((name for name in counts if counts[name] >= MINIMUM), key=lambda name: counts[name]):
            if keeps_small_ones(told, sum(counts.values()), MINIMUM):
                break
            told[name] = None
        return told

    assert len(known_small_counts(smallest_first, 4)) > 100


def test_the_search_finds_what_the_least_whole_is_for() -> None:
    with pytest.raises(ValueError, match="at least 19 cases"):
        told_cells({"a": 16, "b": 2, "c": 0, "d": 0}, MINIMUM)
    # "b" is few and the hidden "a" is known to have five at least: of six there is one "b".
    assert not keeps_small_ones({"a": None, "b": FEW}, 6, MINIMUM)


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((20, 0, 0, 0), (20, 0, 0, 0)),
        ((18, 2, 0, 0), (None, FEW, 0, 0)),
        ((20, 10, 8, 2), (20, 10, None, FEW)),
        ((20, 10, 6, 2), (20, None, None, FEW)),
        ((20, 3, 0, 2), (20, FEW, 0, FEW)),
        ((20, 4, 0, 4), (None, FEW, 0, FEW)),
    ],
)
def test_what_is_told(counts: tuple[int, ...], told: tuple[Told, ...]) -> None:
    assert tuple(told_cells(dict(zip(NAMES, counts, strict=True)), 5).values()) == told


def test_what_cannot_be_is_refused() -> None:
    for told in ({"a": 12, "b": FEW}, {"a": 3, "b": 4}, {"a": None, "b": None}):
        with pytest.raises(ValueError, match="cannot be"):
            ranges_of(told, 8, 5)
