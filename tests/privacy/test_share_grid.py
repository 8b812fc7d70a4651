"""Sums of shares fit the ring whatever was added, and the noise is wide and fine enough on the grid."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.privacy.events import NoiseSharing
from fedvoxel.privacy.share_grid import MIN_SHARE_SIGMA, RING_BITS, SMOOTHING_VARIANCE, ShareGrid


def _sharing(draw: Any) -> NoiseSharing:
    sites = draw(st.integers(3, 1000))
    colluders = draw(st.integers(0, sites - 2))
    most = min(sites - 2 - colluders, (sites - colluders - 1) // 2)
    return NoiseSharing(sites=sites, colluders=colluders, dropouts=draw(st.integers(0, most)))


@st.composite
def grids(draw: Any) -> ShareGrid:
    clip_norm, noise = draw(st.floats(1e-6, 1e6)), draw(st.floats(0.01, 1e3))
    return ShareGrid(clip_norm, noise, draw(st.floats(1e-3, 1e4)), _sharing(draw))


@given(grids())
def test_no_sum_of_as_many_shares_as_there_are_sites_overflows(grid: ShareGrid) -> None:
    largest = grid.limit * grid.sharing.sites
    assert 0 < largest < 2 ** (RING_BITS - 1)
    # Modulo the ring and back is the number itself, at both ends.
    for total in (-largest, largest):
        residue = total % 2**RING_BITS
        assert (residue if residue < 2 ** (RING_BITS - 1) else residue - 2**RING_BITS) == total


@given(grids())
def test_the_grid_is_the_finest_power_of_two_that_leaves_room_for_gradients_and_noise(grid: ShareGrid) -> None:
    assert math.frexp(grid.step)[0] == 0.5, "no power of two"
    wide = grid.noise_multiplier * grid.clip_norm / math.sqrt(grid.sharing.least_shares)
    room = (8 + 2 * grid.expected_batch) * grid.clip_norm + 12 * wide
    assert room <= grid.limit * grid.step * (1 + 1e-12) < 2 * room * (1 + 1e-9)


@given(grids())
def test_the_least_number_of_shares_has_the_whole_noise_and_what_smoothing_takes(grid: ShareGrid) -> None:
    whole = (grid.noise_multiplier * grid.clip_norm / grid.step) ** 2
    assert grid.sharing.least_shares * grid.sigma**2 >= (whole + SMOOTHING_VARIANCE) * (1 - 1e-12)
    if grid.sigma >= MIN_SHARE_SIGMA:  # what a section may have: hardly more than needed, either
        assert grid.sharing.least_shares * grid.sigma**2 <= whole * (1 + 3 / MIN_SHARE_SIGMA)


def test_without_noise_there_is_a_grid_and_no_sigma() -> None:
    grid = ShareGrid(0.5, 0.0, 12.8, NoiseSharing(sites=5, colluders=0, dropouts=0))
    assert grid.sigma == 0 and grid.step == 2.0**-24


def _mass(sigma: float, reach: int) -> np.ndarray:
    values = np.exp(-np.square(np.arange(-reach, reach + 1, dtype=np.longdouble)) / (2 * sigma**2))
    return values / values.sum()


def _most_apart(one: np.ndarray, other: np.ndarray, within: int) -> float:
    """Returns the largest logarithm of a ratio near the centre, where the sums were not cut off."""
    middle = len(one) // 2
    near = slice(middle - within, middle + within + 1)
    return float(np.abs(np.log(one[near] / other[near])).max())


@pytest.mark.parametrize("sigma", [1.0, 1.2, 1.5])
def test_a_sum_of_discrete_gaussians_is_as_near_to_one_as_stated(sigma: float) -> None:
    """Step 1 of the argument in `shared_noise`, at a sigma so small that the distance can be seen."""
    reach, summed, bound = 60, _mass(sigma, 60), 0.0
    for k in range(1, 5):
        summed = np.convolve(summed, _mass(sigma, reach))
        bound += 5 * math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1))
        wide = len(summed) // 2
        apart = _most_apart(summed, _mass(sigma * math.sqrt(k + 1), wide), within=12)
        assert 1e-17 < apart <= bound


@pytest.mark.parametrize("smoothing", [1.0, 1.2])
def test_a_discrete_gaussian_is_as_near_to_a_rounded_continuous_one_as_stated(smoothing: float) -> None:
    """Step 2: the continuous Gaussian of the rest of the variance, rounded at random, by numerical integration."""
    variance = 9.0
    rest, points = variance - smoothing**2, np.linspace(-40, 40, 80 * 512 + 1)
    density = np.exp(-np.square(points) / (2 * rest)) / math.sqrt(2 * math.pi * rest)
    whole = np.arange(-60, 61)
    towards = np.exp(-np.square(whole[:, None] - points) / (2 * smoothing**2))
    rounded = (towards / towards.sum(0) * density).sum(1) * (points[1] - points[0])
    apart = _most_apart(rounded, _mass(3.0, 60).astype(np.float64), within=10)
    assert apart <= 5 * math.exp(-2 * math.pi**2 * smoothing**2)
