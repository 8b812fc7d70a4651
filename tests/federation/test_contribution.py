"""Contributions against the textbook, by hand, and the axioms that define a Shapley value."""

from itertools import permutations

import numpy as np
import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.federation.contribution import (
    Scored,
    Worth,
    agreement,
    gtg_shapley,
    leave_one_out,
    model_of,
    most_models,
    shapley,
)
from fedvoxel.updates.update import Update

SITES = ("a", "b", "c", "d")


def _glove(sites: frozenset[str]) -> float:
    """Pairs of a left glove (a, b) and a right one (c): the textbook's market game, with a dummy d."""
    return float(min(len(sites & {"a", "b"}), len(sites & {"c"})))


def _noisy(seed: int) -> Worth:
    """Is a game with a worth of its own for each set, growing with the set."""
    table: dict[frozenset[str], float] = {}

    def worth(sites: frozenset[str]) -> float:
        if sites not in table:
            own = {"a": 0.3, "b": 0.2, "c": 0.1, "d": -0.15}
            number = int.from_bytes("".join(sorted(sites)).encode(), "big")
            wiggle = np.random.default_rng((seed, number % 2**32)).normal() * 0.02
            table[sites] = sum(own[site] for site in sites) / (1 + 0.2 * len(sites)) + wiggle
        return table[sites]

    return worth


def _by_permutations(worth: Worth) -> dict[str, float]:
    values = dict.fromkeys(SITES, 0.0)
    orders = list(permutations(SITES))
    for order in orders:
        for place, site in enumerate(order):
            values[site] += (worth(frozenset(order[: place + 1])) - worth(frozenset(order[:place]))) / len(orders)
    return values


def test_the_glove_market_has_the_textbooks_values() -> None:
    found = shapley(SITES, _glove)
    assert found.values == pytest.approx({"a": 1 / 6, "b": 1 / 6, "c": 4 / 6, "d": 0.0})
    assert found.evaluations == 16


@pytest.mark.parametrize("seed", range(5))
def test_exact_values_are_the_mean_over_all_orders_and_share_out_the_whole(seed: int) -> None:
    worth = _noisy(seed)
    found = shapley(SITES, worth)
    assert found.values == pytest.approx(_by_permutations(worth))
    assert sum(found.values.values()) == pytest.approx(worth(frozenset(SITES)) - worth(frozenset()))
    both = shapley(SITES, lambda sites: worth(sites) + 2 * _glove(sites)).values
    glove = shapley(SITES, _glove).values
    assert both == pytest.approx({site: found.values[site] + 2 * glove[site] for site in SITES})


def test_leaving_one_out_is_the_difference_to_the_whole() -> None:
    assert leave_one_out(SITES, _glove).values == {"a": 0.0, "b": 0.0, "c": 1.0, "d": 0.0}
    assert leave_one_out(SITES, _glove).evaluations == 5


@pytest.mark.parametrize("seed", range(5))
def test_drawn_values_lie_within_their_errors_of_the_exact_ones(seed: int) -> None:
    worth, tolerance = _noisy(seed), 1e-4  # so small that nothing is truncated
    exact, drawn = shapley(SITES, worth).values, gtg_shapley(SITES, worth, np.random.default_rng(seed), tolerance)
    for site in SITES:
        assert abs(drawn.values[site] - exact[site]) <= 4 * drawn.errors[site] < 0.02
    assert sorted(SITES, key=exact.__getitem__) == sorted(SITES, key=drawn.values.__getitem__)


def test_a_round_that_changes_nothing_costs_two_evaluations() -> None:
    found = gtg_shapley(SITES, lambda sites: 0.5, np.random.default_rng(0))
    assert found.values == dict.fromkeys(SITES, 0.0) and found.evaluations == 2


def test_truncation_saves_evaluations() -> None:
    sites = tuple(f"h{index}" for index in range(8))

    def saturated(chosen: frozenset[str]) -> float:
        return min(1.0, 0.5 * len(chosen))

    found = gtg_shapley(sites, saturated, np.random.default_rng(0), tolerance=0.05)
    assert found.values == pytest.approx(dict.fromkeys(sites, 1 / 8), abs=0.05)
    assert found.evaluations <= 1 + 8 + 28 + 1, "sets of three and more are worth what the whole is"


@pytest.mark.parametrize("count", [1, 2, 3, 4, 17])
def test_no_more_models_are_scored_than_is_said_beforehand(count: int) -> None:
    sites = [str(index) for index in range(count)]
    random, worths = np.random.default_rng(5), dict[frozenset[str], float]()
    # Every set is worth something else, so that nothing is truncated and no error is ever small.
    scored = Scored(lambda chosen: worths.setdefault(chosen, float(random.normal())))
    gtg_shapley(sites, scored, np.random.default_rng(1), tolerance=1e-9)
    leave_one_out(sites, scored)
    most = most_models("gtg_shapley", count)
    assert most <= 2**count and 0.6 * most < scored.evaluations <= most


def test_too_many_sites_for_all_subsets_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most 10"):
        shapley([str(index) for index in range(11)], _glove)


def _update(values: list[float], cases: int) -> Update:
    return Update({"w": np.array(values, np.float32)}, cases)


def test_the_model_of_some_sites_is_the_rounds_model_and_their_weighted_mean() -> None:
    model = {"w": np.array([1.0, 1.0], np.float32)}
    updates = {"a": _update([1.0, 0.0], 30), "b": _update([0.0, 1.0], 10), "c": _update([9.0, 9.0], 10)}
    np.testing.assert_allclose(model_of(model, updates, frozenset("ab"))["w"], [1.75, 1.25])
    np.testing.assert_array_equal(model_of(model, updates, frozenset())["w"], model["w"])


def test_agreement_is_the_cosine_with_the_mean_of_all() -> None:
    found = agreement({"a": _update([3.0, 0.0], 10), "b": _update([0.0, 3.0], 10), "c": _update([0.0, 0.0], 10)})
    assert found == pytest.approx({"a": np.sqrt(0.5), "b": np.sqrt(0.5), "c": 0.0})
