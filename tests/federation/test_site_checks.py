"""What a job's rounds cannot do with the sites of a run, and what they can."""

from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.federation.aggregation import MAX_TOTAL_WEIGHT, FixedPointMean
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.site_checks import check_sites

SITES = [f"site-{index:04d}" for index in range(1000)]


def _check(sites: int, private: bool = False, **section: Any) -> None:
    config = RoundsConfig.model_validate({"num_rounds": 2, "min_sites": 3} | section)
    check_sites(config, SITES[:sites], private)


def test_the_cases_of_all_sites_together_stay_within_what_is_added_up_exactly() -> None:
    _check(20)
    _check(1000, max_cases_per_site=2097)
    with pytest.raises(ConfigError, match=r"1000 sites may claim 2098000 cases.*write at most 2097"):
        _check(1000, max_cases_per_site=2098)
    with pytest.raises(ConfigError, match="21 sites may claim 2100000"):
        _check(21)


def test_the_bound_is_that_of_the_sum() -> None:
    model = {"w": np.full(2, 1024.0, np.float32)}
    total = FixedPointMean({"w": (2,)})
    for _ in range(1000):
        total.add(model, MAX_TOTAL_WEIGHT // 1000)
    np.testing.assert_array_equal(total.mean()["w"], model["w"])


def test_named_sites_count_as_they_are_named() -> None:
    _check(1000, case_counts=dict.fromkeys(SITES, 2097))
    _check(1000, case_counts=dict.fromkeys(SITES, 100) | {SITES[0]: 100_000})
    with pytest.raises(ConfigError, match="write at most 2097"):
        _check(1000, case_counts=dict.fromkeys(SITES, 2098))


@pytest.mark.parametrize(
    "other",
    [{"private": True}, {"aggregation": {"name": "median"}}, {"secure_aggregation": {"bits": 16, "dropouts": 1}}],
)
def test_where_cases_are_not_added_up_there_is_no_such_bound(other: dict[str, Any]) -> None:
    _check(1000, **other)
    with pytest.raises(ConfigError, match="max_cases_per_site"):
        _check(1000, aggregation={"name": "norm_bound", "most_norm": 1.0})


def test_a_misspelt_site_is_found_and_one_that_is_not_there_today_is_none() -> None:
    _check(3, case_counts=dict.fromkeys(SITES[:4], 10))
    _check(3, case_counts={SITES[0]: 10})
    with pytest.raises(ConfigError, match="site-O001 is not in this run, and site-0001 has no number"):
        _check(2, case_counts={SITES[0]: 10, "site-O001": 10})


def test_exact_shapley_values_are_for_few_sites_in_a_round() -> None:
    shapley = {"contribution": {"method": "shapley"}}
    _check(10, **shapley)
    with pytest.raises(ConfigError, match="of which there are 11 here, expected at most 10; write gtg_shapley"):
        _check(11, **shapley)
    _check(11, contribution={"method": "gtg_shapley"})
    _check(20, selection={"name": "random", "fraction": 0.5}, **shapley)
    with pytest.raises(ConfigError, match="there are 11 here"):
        _check(20, selection={"name": "random", "fraction": 0.55}, **shapley)
