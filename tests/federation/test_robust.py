"""Robust rules against calculations by hand, a bad site that cannot steer them, and the same bits in any order."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.robust import BoundedSum, RobustSum, combined
from fedvoxel.federation.robust_config import CoordinateMedian, GeometricMedian, MultiKrum, RobustRule, TrimmedMean
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.updates.update import Update

LAYOUT = {"w": (2,)}
MEDIAN = CoordinateMedian(name="median")
TRIMMED = TrimmedMean(name="trimmed_mean")
KRUM = MultiKrum(name="multi_krum")
GEOMETRIC = GeometricMedian(name="geometric_median")
RULES: list[RobustRule] = [MEDIAN, TRIMMED, KRUM, GEOMETRIC]


def arrays(*values: float) -> dict[str, NDArray[np.float32]]:
    return {"w": np.array(values, np.float32)}


def result(rule: RobustRule, *points: tuple[float, float]) -> NDArray[np.float32]:
    opened = RobustSum(LAYOUT, 100, rule)
    for number, point in enumerate(points):
        opened.add(Update(arrays(*point), number + 1))
    return opened.mean()["w"]


def test_the_median_is_taken_value_by_value() -> None:
    np.testing.assert_allclose(result(MEDIAN, (1, 9), (2, 1), (9, 2)), [2, 2])
    np.testing.assert_allclose(result(MEDIAN, (1, 9), (2, 1), (9, 2), (4, 4)), [3, 3])


def test_the_trimmed_mean_leaves_out_each_values_ends() -> None:
    np.testing.assert_allclose(result(TRIMMED, (1, 9), (2, 1), (9, 2), (4, 5)), [3, 3.5])
    two = TrimmedMean(name="trimmed_mean", trim=2)
    np.testing.assert_allclose(result(two, (1, 9), (2, 1), (9, 2), (4, 5), (3, 3)), [3, 3])


def test_krum_takes_the_mean_of_those_with_near_neighbours() -> None:
    # n = 5, f = 1: each point's score is the sum over its 2 nearest; (100, 0) has the worst.
    points = [(0, 0), (1, 0), (0, 1), (1, 1), (100, 0)]
    np.testing.assert_allclose(result(KRUM, *points), [0.5, 0.5])


def test_krum_looks_at_near_neighbours_only() -> None:
    # Over 2 neighbours 5 has the worst score (49), over all of them 11 had.
    np.testing.assert_allclose(result(KRUM, (0, 0), (0.1, 0), (5, 0), (10, 0), (11, 0)), [5.275, 0], atol=1e-6)


def test_equal_updates_do_not_hide_a_bad_one_from_krum() -> None:
    np.testing.assert_allclose(result(KRUM, (1, 1), (1, 1), (1, 1), (2, 2), (50, 50)), [1.25, 1.25])


def test_the_geometric_median_of_a_symmetric_set_is_its_middle() -> None:
    np.testing.assert_allclose(result(GEOMETRIC, (1, 0), (-1, 0), (0, 3), (0, -3)), [0, 0], atol=1e-6)


def test_the_geometric_median_of_a_triangle_is_its_fermat_point() -> None:
    # Of a triangle with sides 1 from the origin's right angle: x = y = (3 - sqrt(3)) / 6.
    expected = (3 - np.sqrt(3)) / 6
    np.testing.assert_allclose(result(GEOMETRIC, (0, 0), (1, 0), (0, 1)), [expected, expected], atol=1e-4)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_one_bad_site_moves_no_rule_out_of_the_others(rule: RobustRule) -> None:
    good = [(1.0, 1.0), (1.1, 0.9), (0.9, 1.1), (1.0, 1.2)]
    for bad in [(1000.0, -1000.0), (-1000.0, 0.0)]:
        moved = result(rule, *good, bad)
        assert np.abs(moved - [1.0, 1.05]).max() < 0.25
    assert np.abs(np.mean([*good, (1000.0, -1000.0)], axis=0) - [1, 1.05]).max() > 100  # the mean is far away


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_order_of_arrival_gives_the_same_bits(rule: RobustRule) -> None:
    random = np.random.default_rng(1)
    first, second, small = (random.uniform(-scale, scale, 5000).astype(np.float32) for scale in (90, 70, 1e-9))
    # What is left after large values cancel has the rounding of the order in which they were added.
    updates = [{"w": each} for each in (first, -first, second, -second, small, np.full_like(small, 1000))]
    results = set()
    for order in itertools.islice(itertools.permutations(updates), 0, 720, 61):
        opened = RobustSum({"w": small.shape}, 1, rule)
        for each in order:
            opened.add(Update(each, 1))
        results.add(opened.mean()["w"].tobytes())
    assert len(results) == 1


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_values_beyond_one_slice_and_none_at_all_are_combined(rule: RobustRule) -> None:
    random = np.random.default_rng(2)
    large = [{"w": random.normal(size=70_000).astype(np.float32), "n": np.empty(0, np.float32)} for _ in range(5)]
    for each in large:
        each["w"][65_530:] = 7
    made = combined(large, rule)
    np.testing.assert_allclose(made["w"][65_530:], 7, rtol=1e-6)
    assert made["n"].size == 0 and made["w"].shape == (70_000,)


def test_the_norm_bound_cuts_an_update_and_weighs_by_cases() -> None:
    opened = BoundedSum(LAYOUT, 10, most_norm=5.0)
    opened.add(Update(arrays(30, 40), 1))
    opened.add(Update(arrays(3, 4), 2))
    opened.add(Update(arrays(0, 0), 1))
    np.testing.assert_allclose(opened.mean()["w"], [2.25, 3.0], rtol=1e-6)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_too_few_updates_are_no_result(rule: RobustRule) -> None:
    with pytest.raises(UpdateError, match=f"needs the updates of {rule.least_sites} sites, and has 2"):
        result(rule, (1, 1), (2, 2))


@pytest.mark.parametrize("value", [np.nan, 1e30])
def test_what_is_no_update_is_refused_and_leaves_no_trace(value: float) -> None:
    for opened in (RobustSum(LAYOUT, 10, MEDIAN), BoundedSum(LAYOUT, 10, 1.0)):
        with pytest.raises(UpdateError):
            opened.add(Update(arrays(value, 0), 1))
        with pytest.raises(UpdateError, match="absurd weight"):
            opened.add(Update(arrays(1, 0), 11))
        assert opened.count == 0


def config(aggregation: dict[str, Any], min_sites: int) -> RoundsConfig:
    values = {"num_rounds": 1, "min_sites": min_sites, "aggregation": aggregation}
    return parse_config(RoundsConfig, values, "the test's rounds")


@pytest.mark.parametrize(
    ("aggregation", "least"),
    [({"name": "median"}, 3), ({"name": "trimmed_mean", "trim": 2}, 5), ({"name": "multi_krum"}, 5)],
)
def test_a_quorum_that_a_rule_cannot_work_with_is_refused(aggregation: dict[str, Any], least: int) -> None:
    assert config(aggregation, least).aggregation.name == aggregation["name"]
    with pytest.raises(ConfigError, match=f"needs min_sites of {least} at least"):
        config(aggregation, least - 1)


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [({"name": "median"}, [2, 2]), ({"name": "norm_bound", "most_norm": 1.0}, [0.5, 1.0])],
)
def test_a_round_is_closed_by_the_rule_of_the_job(aggregation: dict[str, Any], expected: list[float]) -> None:
    rounds = Rounds(config(aggregation, 3), arrays(0, 0))
    updates = [(1, 9), (2, 1), (9, 2)] if aggregation["name"] == "median" else [(0, 9), (0, 1), (1.5, 1)]
    for number, each in enumerate(updates):
        rounds.add(f"site-{number}", Update(arrays(*each), 1))
    rounds.close_round()
    if aggregation["name"] == "median":
        np.testing.assert_allclose(rounds.model["w"], expected)
    else:
        third = np.array([1.5, 1.0]) / np.hypot(1.5, 1)
        np.testing.assert_allclose(rounds.model["w"], (np.array([0.0, 2.0]) + third) / 3, rtol=1e-6)
