"""Clipping: nothing is ever longer than the bound, and nothing unclipped reaches a sum."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvoxel.errors import UpdateError
from fedvoxel.federation import aggregation
from fedvoxel.privacy import clipping
from fedvoxel.privacy.clipping import GRID, ClippedSum, ClippedUpdate, clip_factors, clip_update

LAYOUT = {"kernel": (40, 30), "bias": (30,)}


def _arrays(seed: int, scale: float) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: (random.normal(size=shape) * scale).astype(np.float32) for name, shape in LAYOUT.items()}


def _length(update: ClippedUpdate) -> float:
    """Returns the exact l2 norm: whole numbers of any size under the root."""
    total = sum(int(value) ** 2 for array in update.grid.values() for value in array.ravel())
    return math.sqrt(total / GRID**2)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 100.0]),
    clip_norm=st.floats(1e-3, 1e3),
)
def test_no_update_is_longer_than_the_bound(seed: int, scale: float, clip_norm: float) -> None:
    assert _length(clip_update(_arrays(seed, scale), clip_norm)) <= clip_norm


def test_a_short_update_is_only_put_on_the_grid() -> None:
    arrays = _arrays(1, 1e-3)
    clipped = clip_update(arrays, 10.0)
    for name, array in arrays.items():
        np.testing.assert_allclose(clipped.grid[name] / GRID, array, atol=2.0**-32)
        assert (np.abs(clipped.grid[name] / GRID) <= np.abs(array)).all()


def test_a_long_update_keeps_its_direction() -> None:
    arrays = _arrays(2, 5.0)
    clipped = clip_update(arrays, 0.5)
    assert _length(clipped) == pytest.approx(0.5, rel=1e-6)
    ratio = clipped.grid["bias"] / GRID / arrays["bias"]
    assert ratio.std() / ratio.mean() < 1e-6


@settings(deadline=None, max_examples=100)
@given(norms=st.lists(st.floats(0, 1e30), max_size=20), clip_norm=st.floats(1e-6, 1e6))
def test_factors_bound_every_norm_and_leave_short_ones(norms: list[float], clip_norm: float) -> None:
    factors = clip_factors(np.array(norms), clip_norm)
    for norm, factor in zip(norms, factors, strict=True):
        assert norm * factor <= clip_norm
        assert factor == pytest.approx(min(1.0, clip_norm / norm) if norm else 1.0, rel=2e-7)
        if norm < 0.999 * clip_norm:
            assert factor == 1.0


def test_what_is_not_finite_contributes_nothing() -> None:
    assert clip_factors(np.array([np.nan, np.inf, 1.0]), 1.0).tolist() == pytest.approx([0.0, 0.0, 1.0], rel=2e-7)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 2000.0])
def test_an_update_that_cannot_be_trusted_is_refused(bad: float) -> None:
    arrays = _arrays(3, 1.0)
    arrays["bias"][7] = bad
    with pytest.raises(UpdateError):
        clip_update(arrays, 1.0)


def test_a_clip_that_does_not_clip_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipping, "clip_factors", lambda norms, clip_norm: np.ones_like(norms))
    with pytest.raises(UpdateError, match="longer than its bound"):
        clip_update(_arrays(4, 5.0), 0.5)


def test_nobody_else_makes_a_clipped_update() -> None:
    with pytest.raises(TypeError, match="clip_update"):
        ClippedUpdate(object(), {}, 1.0, True)


def test_the_sum_is_exact_in_any_order() -> None:
    updates = [clip_update(_arrays(seed, 0.1), 1.0) for seed in range(5)]
    sums = []
    for order in (updates, updates[::-1]):
        total = ClippedSum(LAYOUT, 1.0)
        for update in order:
            total.add(update)
        assert total.count == 5
        sums.append(total.take())
    for name in LAYOUT:
        np.testing.assert_array_equal(sums[0][name], sums[1][name])
        np.testing.assert_array_equal(sums[0][name], sum(update.grid[name] for update in updates))


def test_a_sum_takes_clipped_updates_of_its_bound_and_layout_only() -> None:
    total = ClippedSum(LAYOUT, 1.0)
    with pytest.raises(UpdateError, match="ClippedUpdate"):
        total.add(_arrays(1, 1.0))  # type: ignore[arg-type]
    with pytest.raises(UpdateError, match="clip bound"):
        total.add(clip_update(_arrays(1, 1.0), 2.0))
    with pytest.raises(UpdateError, match="wrong keys"):
        total.add(clip_update({"bias": np.zeros(30, np.float32)}, 1.0))
    with pytest.raises(UpdateError, match="wrong shape"):
        total.add(clip_update(_arrays(1, 1.0) | {"bias": np.zeros(1, np.float32)}, 1.0))
    assert total.count == 0
    assert not any(array.any() for array in total.take().values())


def test_a_full_sum_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipping, "MAX_SUMMANDS", 1)
    total = ClippedSum(LAYOUT, 1.0)
    total.add(clip_update(_arrays(1, 1.0), 1.0))
    with pytest.raises(UpdateError, match="at most 1 "):
        total.add(clip_update(_arrays(1, 1.0), 1.0))


def test_a_sum_is_taken_once() -> None:
    total = ClippedSum(LAYOUT, 1.0)
    total.add(clip_update(_arrays(1, 1.0), 1.0))
    total.take()
    for again in (total.take, lambda: total.add(clip_update(_arrays(1, 1.0), 1.0))):
        with pytest.raises(UpdateError, match="released already"):
            again()


def test_the_grid_is_that_of_the_aggregation() -> None:
    assert GRID == 2**aggregation.FRACTION_BITS
