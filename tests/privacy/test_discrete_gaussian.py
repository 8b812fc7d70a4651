"""The discrete Gaussian: the exact probabilities, at small scales one by one and at large ones as a whole."""

import numpy as np
import pytest
from scipy import stats

from fedvoxel.privacy.discrete_gaussian import MAX_SIGMA, discrete_gaussian
from fedvoxel.privacy.noise import SecureNoise

SIZE = 200_000
FALSE_ALARM = 1e-9


def _probabilities(sigma: int) -> tuple[np.ndarray, np.ndarray]:
    values = np.arange(-12 * sigma, 12 * sigma + 1)
    weights = np.exp(-(values**2) / (2 * sigma**2))
    return values, weights / weights.sum()


@pytest.mark.parametrize("sigma", [1, 2, 3, 10])
def test_every_value_has_its_probability(sigma: int) -> None:
    drawn = SecureNoise().discrete_gaussian((SIZE,), sigma)
    values, probabilities = _probabilities(sigma)
    expected = probabilities * SIZE
    common = expected >= 10
    observed = np.array([(drawn == value).sum() for value in values[common]])
    # What is too rare for a column of its own shares one.
    observed, expected = (
        np.append(observed, SIZE - observed.sum()),
        np.append(expected[common], SIZE - expected[common].sum()),
    )
    kept = expected > 1
    statistic = float(((observed - expected)[kept] ** 2 / expected[kept]).sum())
    assert stats.chi2.sf(statistic, kept.sum() - 1) > FALSE_ALARM


@pytest.mark.parametrize("sigma", [1000, 2**26, 2**32 + 12345, MAX_SIGMA])
def test_large_scales_look_gaussian(sigma: int) -> None:
    drawn = SecureNoise().discrete_gaussian((SIZE,), sigma)
    assert (
        stats.kstest((drawn + np.random.default_rng(0).uniform(-0.5, 0.5, SIZE)) / sigma, "norm").pvalue > FALSE_ALARM
    )
    squares = float(np.square(drawn / sigma).sum())
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], SIZE)
    assert low < squares < high
    # Low bits are as random as high ones: nothing was scaled up from a float.
    assert stats.binomtest(int((drawn & 1).sum()), SIZE).pvalue > FALSE_ALARM


def test_the_difference_from_a_rounded_gaussian_is_what_the_guarantee_allows_for() -> None:
    for sigma in (4, 8, 16):
        values, exact = _probabilities(sigma)
        rounded = stats.norm.cdf(values + 0.5, scale=sigma) - stats.norm.cdf(values - 0.5, scale=sigma)
        distance = np.abs(exact - rounded).sum() / 2
        assert distance * sigma**2 == pytest.approx(0.0202, abs=3e-4)


def test_sizes_from_none_to_many() -> None:
    generator = np.random.default_rng(0)
    assert [discrete_gaussian(generator, size, 5).size for size in (0, 1, 2, 1000)] == [0, 1, 2, 1000]


@pytest.mark.parametrize(("size", "sigma"), [(1, 0), (1, -3), (1, MAX_SIGMA + 1), (-1, 5)])
def test_impossible_arguments_are_refused(size: int, sigma: int) -> None:
    with pytest.raises(ValueError, match="sigma"):
        discrete_gaussian(np.random.default_rng(0), size, sigma)
