"""What a datasheet may tell: every small group is looked for by brute force in what is shown."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.volumes.disclosure import (
    OTHER,
    disclosed_counts,
    disclosed_quantiles,
    grouped_quantiles,
    merged_bands,
    merged_counts,
    rolled_up_names,
)

MINIMUM = 3
Told = Mapping[str, int | None]


def small_remainders(told: Told, total: int, minimum: int) -> list[int]:
    """All sums of shown counts, and the total minus each, that are about a small group."""
    shown = [count for count in told.values() if count]
    sums = {sum(chosen) for size in range(len(shown) + 1) for chosen in itertools.combinations(shown, size)}
    return [found for part in sums for found in (part, total - part) if 0 < found < minimum]


def all_counts() -> list[dict[str, int]]:
    names = ("a", "b", "c", "d")
    every = itertools.product(range(6), repeat=len(names))
    return [dict(zip(names, counts, strict=True)) for counts in every if sum(counts) >= MINIMUM]


@pytest.mark.parametrize("function", [disclosed_counts, merged_counts])
def test_no_small_group_is_a_total_minus_shown_counts(function: Callable[[dict[str, int], int], Told]) -> None:
    for counts in all_counts():
        assert small_remainders(function(counts, MINIMUM), sum(counts.values()), MINIMUM) == [], counts


def test_the_search_finds_what_simple_suppression_leaves_open() -> None:
    def suppressed_alone(counts: dict[str, int]) -> Told:
        return {name: count if count >= MINIMUM else None for name, count in counts.items()}

    found = [counts for counts in all_counts() if small_remainders(suppressed_alone(counts), sum(counts.values()), 3)]
    assert len(found) > 100


def test_whoever_knows_the_rules_cannot_tell_a_small_count_either() -> None:
    """The same is told of other counts, in which the small one is another; but for one corner, which is documented."""
    alike: dict[tuple[object, ...], list[dict[str, int]]] = defaultdict(list)
    for counts in all_counts():
        alike[tuple(sorted(merged_counts(counts, MINIMUM).items()))].append(counts)
    for group in alike.values():
        for name, count in group[0].items():
            if 0 < count < MINIMUM and len({counts[name] for counts in group}) == 1:
                assert {count for count in group[0].values() if 0 < count < MINIMUM} == {MINIMUM - 1}, group


@given(st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 12), min_size=1), st.integers(1, 6))
def test_merged_counts_lose_nobody_and_name_no_rare_value(counts: dict[str, int], minimum: int) -> None:
    told = merged_counts(counts, minimum)
    total = sum(counts.values())
    assert sum(told.values()) == (total if total >= minimum else 0)
    assert all(count >= minimum for count in told.values())
    assert all(counts[name] >= minimum for name in told if name != OTHER)


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["CT", "MR"]), st.sampled_from("abc"), st.sampled_from("xyz")),
        st.integers(1, 8),
        min_size=1,
    ),
    st.integers(2, 6),
)
def test_makers_and_models_are_one_division_of_the_whole(counts: dict[tuple[str, ...], int], minimum: int) -> None:
    sizes: Counter[str] = Counter()
    for name, cell in rolled_up_names(counts, minimum).items():
        sizes[cell] += counts[name]
        assert cell == OTHER or all(part in (*name, OTHER) for part in cell.split(" · "))
    if sum(counts.values()) >= minimum:
        assert min(sizes.values()) >= minimum


def test_rare_models_are_put_together_within_their_maker() -> None:
    counts = {("MR", "S", "one"): 9, ("MR", "S", "two"): 2, ("MR", "S", "three"): 4, ("MR", "G", "four"): 1}
    told = rolled_up_names(counts, 5)
    # The one of G alone would be the total minus the rest: so the smallest part that could be told goes with it.
    assert told == {name: "MR · S · one" if name[2] == "one" else OTHER for name in counts}
    del counts["MR", "G", "four"]
    assert set(rolled_up_names(counts, 5).values()) == {"MR · S · one", "MR · S · other"}


@given(st.lists(st.floats(0, 120), max_size=40), st.integers(1, 6))
def test_bands_hold_the_minimum_and_everyone(ages: list[float], minimum: int) -> None:
    bands = merged_bands(ages, (18.0, 40.0, 60.0, 90.0), minimum)
    assert sum(count for *_, count in bands) == (len(ages) if len(ages) >= minimum else 0)
    assert all(count >= minimum for *_, count in bands)
    assert all(count == sum(low <= age < high for age in ages) for low, high, count in bands)


# ------------------------------------------------------------------ quantiles

Quantiles = Callable[[Sequence[float], int], dict[str, float]]


def small_groups(quantiles: Quantiles, values: list[float], minimum: int) -> list[set[int]]:
    """Groups smaller than the minimum that a result, or the difference of two, is about."""
    base = quantiles(values, minimum)
    about: dict[str, set[int]] = {name: set() for name in base}
    for place in range(len(values)):
        moved = [value + (0.25 if at == place else 0.0) for at, value in enumerate(values)]
        for name, value in quantiles(moved, minimum).items():
            if value != base[name]:
                about[name].add(place)
    pairs = [one ^ other for one, other in itertools.combinations(about.values(), 2)]
    return [group for group in (*about.values(), *pairs) if 0 < len(group) < minimum]


@pytest.mark.parametrize("count", range(5, 40))
def test_neither_a_quantile_nor_a_difference_is_about_few(count: int) -> None:
    assert small_groups(grouped_quantiles, [float(number) for number in range(count)], 5) == []


def test_the_search_finds_groups_that_overlap() -> None:
    assert small_groups(disclosed_quantiles, [float(number) for number in range(6)], 5) != []


@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=80), st.integers(1, 5))
def test_grouped_quantiles_are_in_order(values: list[float], minimum: int) -> None:
    found = list(grouped_quantiles(values, minimum).values())
    slack = 1e-5 * max(map(abs, values)) + 1e-9
    assert all(one <= other + slack for one, other in itertools.pairwise(found))
    with pytest.raises(ValueError, match="at least 99"):
        grouped_quantiles(values, 99)
