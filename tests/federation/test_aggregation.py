"""The fixed-point mean: exact against a float64 reference, the same bits in any order, and strict."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvoxel.errors import UpdateError
from fedvoxel.federation.aggregation import MAX_TOTAL_WEIGHT, FixedPointMean

LAYOUT = {"kernel": (4, 3), "bias": (3,)}


def _update(seed: int, scale: float = 0.01) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: (random.normal(size=shape) * scale).astype(np.float32) for name, shape in LAYOUT.items()}


def _mean(updates: list[tuple[dict[str, np.ndarray], int]]) -> dict[str, np.ndarray]:
    mean = FixedPointMean(LAYOUT)
    for arrays, weight in updates:
        mean.add(arrays, weight)
    return mean.mean()


@settings(deadline=None, max_examples=50)
@given(weights=st.lists(st.integers(1, 5000), min_size=1, max_size=8), scale=st.sampled_from([1e-6, 1e-2, 1.0, 500.0]))
def test_mean_equals_the_float64_mean(weights: list[int], scale: float) -> None:
    updates = [(_update(seed, scale), weight) for seed, weight in enumerate(weights)]
    updates = [({name: np.clip(a, -1000, 1000) for name, a in arrays.items()}, weight) for arrays, weight in updates]
    result = _mean(updates)
    for name in LAYOUT:
        expected = sum(a[name].astype(np.float64) * w for a, w in updates) / sum(weights)
        np.testing.assert_allclose(result[name], expected, rtol=1e-6, atol=2.0**-32)


def test_every_order_of_arrival_gives_the_same_bits() -> None:
    updates = [(_update(seed), weight) for seed, weight in enumerate([3, 41, 7, 12])]
    results = [_mean(list(order)) for order in itertools.permutations(updates)]
    for result in results[1:]:
        for name in LAYOUT:
            assert result[name].tobytes() == results[0][name].tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda u: u.pop("bias"), "wrong keys"),
        (lambda u: u.update(extra=u["bias"]), "wrong keys"),
        (lambda u: u.update(bias=np.zeros(4, np.float32)), "wrong shape"),
        (lambda u: u.update(bias=np.array([0, np.nan, 0], np.float32)), "non-finite"),
        (lambda u: u.update(bias=np.array([0, np.inf, 0], np.float32)), "non-finite"),
        (lambda u: u.update(bias=np.array([0, 1025, 0], np.float32)), "absurd values"),
        (lambda u: u.update(bias=np.zeros(3, np.int64)), "wrong type"),
    ],
)
def test_a_refused_update_leaves_no_trace(change, message: str) -> None:
    mean = FixedPointMean(LAYOUT)
    mean.add(_update(1), 5)
    bad = _update(2)
    change(bad)
    with pytest.raises(UpdateError, match=message):
        mean.add(bad, 5)
    assert mean.count == 1
    np.testing.assert_allclose(mean.mean()["kernel"], _update(1)["kernel"], atol=2.0**-32)


@pytest.mark.parametrize("weight", [0, -1, MAX_TOTAL_WEIGHT + 1])
def test_an_impossible_weight_is_refused(weight: int) -> None:
    with pytest.raises(UpdateError, match="absurd weight"):
        FixedPointMean(LAYOUT).add(_update(1), weight)


def test_the_largest_sum_does_not_overflow() -> None:
    mean = FixedPointMean({"bias": (1,)})
    mean.add({"bias": np.array([1024.0], np.float32)}, MAX_TOTAL_WEIGHT)
    assert mean.mean()["bias"][0] == 1024.0


def test_an_empty_mean_is_an_error() -> None:
    with pytest.raises(UpdateError, match="no update"):
        FixedPointMean(LAYOUT).mean()
