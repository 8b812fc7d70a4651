"""A whole model is told from a difference by its values; honest differences of every size that training makes pass."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.errors import UpdateError
from fedvoxel.updates.difference import check_is_difference, difference_of
from fedvoxel.updates.update import Arrays


def model(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"conv": (8, 4, 3, 3, 3), "bias": (8,), "slope": (1,)}
    return {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


def step(scale: float) -> dict[str, np.ndarray]:
    return {name: (scale * array).astype(np.float32) for name, array in model(1).items()}


def plus(one: Arrays, other: Arrays) -> dict[str, np.ndarray]:
    return {name: one[name] + other[name] for name in one}


@pytest.mark.parametrize("scale", [0.0, 1e-4, 0.1, 0.7])
def test_whole_weights_are_refused_however_far_a_round_went(scale: float) -> None:
    with pytest.raises(UpdateError, match="full weights"):
        check_is_difference(plus(model(), step(scale)), model())


@given(scale=st.floats(0, 5))
def test_a_difference_passes_however_long_it_is(scale: float) -> None:
    check_is_difference(step(scale), model())


def test_a_short_array_may_have_moved_by_more_than_it_was() -> None:
    check_is_difference(step(0.01) | {"slope": 2 * model()["slope"]}, model())


def test_a_step_back_passes() -> None:
    """Weight decay shortens the weights: the difference points to zero."""
    check_is_difference({name: -0.5 * array for name, array in model().items()}, model())


def test_a_model_of_zeros_cannot_be_told_from_a_difference() -> None:
    """What the docstring says that the check does not see, so that nobody counts on it."""
    zeros = {name: np.zeros_like(array) for name, array in model().items()}
    check_is_difference(step(1), zeros)


def test_local_minus_global() -> None:
    made = difference_of(plus(model(), step(1)), model())
    for name, array in step(1).items():
        assert made[name].dtype == np.float32
        np.testing.assert_allclose(made[name], array, atol=1e-6)
