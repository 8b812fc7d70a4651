"""Intervals against SciPy's bootstrap, and the edges where nothing can be known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedvoxel.evaluation.bootstrap import Estimate, estimate_difference, estimate_mean


@pytest.mark.parametrize("count", [11, 60])
def test_interval_agrees_with_scipy(count: int) -> None:
    sample = np.random.default_rng(count).beta(12, 2, count)
    reference = stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(7)
    )
    ours = estimate_mean(sample.tolist())
    assert ours.cases == count
    assert ours.mean == pytest.approx(sample.mean())
    spread = reference.standard_error
    assert ours.low == pytest.approx(reference.confidence_interval.low, abs=0.08 * spread)
    assert ours.high == pytest.approx(reference.confidence_interval.high, abs=0.08 * spread)


def test_interval_of_few_cases_agrees_with_all_resamples_counted_out() -> None:
    sample = [0.71, 0.83, 0.88, 0.9, 0.93]
    means = [np.mean(drawn) for drawn in itertools.product(sample, repeat=5)]
    ours = estimate_mean(sample)
    # Few distinct means are possible, so the ends are bracketed by the quantiles at either side.
    assert np.quantile(means, 0.020) <= ours.low <= np.quantile(means, 0.030)
    assert np.quantile(means, 0.970) <= ours.high <= np.quantile(means, 0.980)


def test_paired_interval_agrees_with_scipy_and_is_narrower_than_an_unpaired_one() -> None:
    random = np.random.default_rng(3)
    first = random.normal(0.8, 0.1, 30)
    second = first - random.normal(0.02, 0.01, 30)
    reference = stats.bootstrap(
        (first, second),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(7),
    )
    ours = estimate_difference(first.tolist(), second.tolist())
    assert ours.low == pytest.approx(reference.confidence_interval.low, abs=0.0005)
    assert ours.high == pytest.approx(reference.confidence_interval.high, abs=0.0005)
    alone = estimate_mean(first.tolist())
    assert ours.low is not None
    assert ours.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert ours.high - ours.low < (alone.high - alone.low) / 3


def test_says_nothing_of_no_value_and_no_interval_of_one() -> None:
    assert estimate_mean([]) == Estimate(0, None, None, None)
    assert estimate_mean([0.8]) == Estimate(1, 0.8, None, None)
    assert estimate_difference([], []) == Estimate(0, None, None, None)


def test_equal_values_have_an_interval_of_no_width() -> None:
    estimate = estimate_mean([0.5] * 8)
    assert (estimate.mean, estimate.low, estimate.high) == (0.5, 0.5, 0.5)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.integers(0, 3))
def test_interval_is_repeatable_and_lies_within_the_values(values: list[float], seed: int) -> None:
    estimate = estimate_mean(values, seed)
    assert estimate == estimate_mean(values, seed)
    assert estimate.low is not None
    assert estimate.high is not None
    assert min(values) - 1e-12 <= estimate.low <= estimate.high <= max(values) + 1e-12


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_refuses_values_that_are_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        estimate_mean([0.5, bad])


def test_refuses_pairs_of_different_length() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        estimate_difference([0.1, 0.2], [0.1])
