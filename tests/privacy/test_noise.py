"""Noise: distributed as stated, never the same twice, and each way of breaking that is caught."""

import copy
import os
import pickle
import secrets
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import randomgen
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from scipy import stats

from fedvoxel.privacy.noise import FixedNoise, Noise, SecureNoise

SIZE = 200_000
SIGMA = 2**40 + 7
FALSE_ALARM = 1e-9
"""Probability with which each distribution test fails although nothing is wrong."""


def check_distribution(noise: Noise, sigma: int) -> None:
    """Fails unless the noise is Gaussian with standard deviation `sigma`: wrong by 2 % is found, 0.5 % is not."""
    drawn = noise.discrete_gaussian((SIZE,), sigma) / sigma
    squares = float(np.square(drawn).sum())
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], SIZE)
    assert low < squares < high, f"the noise has {np.sqrt(squares / SIZE):.2f} times the stated scale"
    assert stats.kstest(drawn, "norm").pvalue > FALSE_ALARM, "another distribution"


def check_fresh(make: Callable[[], Noise]) -> None:
    """Fails if two sources, or one source asked twice, give the same numbers, or numbers that are correlated."""
    one, other = make(), make()
    draws = [noise.discrete_gaussian((SIZE,), SIGMA) for noise in (one, one, other, other)]
    for index, first in enumerate(draws):
        for second in draws[index + 1 :]:
            assert not np.isin(first[:1000], second[:1000]).any(), "noise was used twice"
            # The correlation of independent draws has standard deviation 1/sqrt(n): 6.1 of them are 1e-9.
            assert abs(np.corrcoef(first, second)[0, 1]) < 6.2 / np.sqrt(SIZE)


@pytest.mark.parametrize("sigma", [2**26, SIGMA])
def test_noise_has_the_stated_distribution(sigma: int) -> None:
    check_distribution(SecureNoise(), sigma)
    check_distribution(FixedNoise(7), sigma)


def test_halved_noise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SecureNoise.discrete_gaussian
    monkeypatch.setattr(SecureNoise, "discrete_gaussian", lambda self, shape, sigma: whole(self, shape, sigma // 2))
    with pytest.raises(AssertionError, match=r"0\.50 times the stated scale"):
        check_distribution(SecureNoise(), SIGMA)


def test_noise_of_another_shape_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    other = np.random.default_rng(0)
    monkeypatch.setattr(
        SecureNoise, "discrete_gaussian", lambda self, shape, sigma: other.uniform(-1, 1, shape) * sigma * np.sqrt(3)
    )
    with pytest.raises(AssertionError):
        check_distribution(SecureNoise(), SIGMA)


def test_noise_is_never_the_same() -> None:
    check_fresh(SecureNoise)


def test_a_reused_random_state_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbits", lambda bits: 2**bits - 1)
    with pytest.raises(AssertionError, match="used twice"):
        check_fresh(SecureNoise)


def test_a_seeded_source_is_caught() -> None:
    with pytest.raises(AssertionError, match="used twice"):
        check_fresh(lambda: FixedNoise(1))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda noise: pickle.loads(pickle.dumps(noise))])  # noqa: S301
def test_a_copied_source_does_not_repeat(copied: Callable[[Noise], Noise]) -> None:
    noise = SecureNoise()
    noise.discrete_gaussian((3,), SIGMA)
    check_fresh(iter([noise, copied(noise)]).__next__)


def test_a_forked_process_does_not_repeat() -> None:
    noise = SecureNoise()
    noise.discrete_gaussian((3,), SIGMA)
    theirs = _in_a_fork(lambda: noise.discrete_gaussian((4,), SIGMA).tobytes())
    assert len(theirs) == 32
    assert theirs != noise.discrete_gaussian((4,), SIGMA).tobytes()


def test_a_fork_that_repeats_would_be_seen() -> None:
    seeded = FixedNoise(1)
    assert (
        _in_a_fork(lambda: seeded.discrete_gaussian((4,), SIGMA).tobytes())
        == seeded.discrete_gaussian((4,), SIGMA).tobytes()
    )


def _in_a_fork(draw: Callable[[], bytes]) -> bytes:
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Threads of other libraries may run by now; the child only draws and ends.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.write(writing, draw())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as stream:
        return stream.read()


def test_seeds_set_elsewhere_change_nothing() -> None:
    drawn = []
    for _ in range(2):
        np.random.seed(0)
        drawn.append(SecureNoise().discrete_gaussian((8,), SIGMA))
    assert not np.isin(drawn[0], drawn[1]).any()


def test_only_the_secure_source_supports_a_claim() -> None:
    assert SecureNoise().gives_guarantee
    assert not FixedNoise(0).gives_guarantee
    first, second = (FixedNoise(3).discrete_gaussian((5,), SIGMA) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_the_bits_are_those_of_chacha20() -> None:
    key = 2**255 + 2**130 + 12345
    keystream = Cipher(algorithms.ChaCha20(key.to_bytes(32, "little"), bytes(16)), None).encryptor().update(bytes(256))
    ours = randomgen.ChaCha(key=key, rounds=20).random_raw(32)
    assert ours.astype("<u8").tobytes() == keystream
    known = np.random.Generator(randomgen.ChaCha(key=1, counter=0)).standard_normal(3)
    np.testing.assert_allclose(known, [-1.23569579, 0.24782731, -0.74919693], atol=1e-8)


def test_every_call_has_a_key_of_256_fresh_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    fresh = secrets.randbits
    monkeypatch.setattr(secrets, "randbits", lambda bits: asked.append(bits) or fresh(bits))
    noise = SecureNoise()
    noise.poisson_sample(10, 0.5)
    noise.discrete_gaussian((2,), 5)
    assert asked == [256, 256]


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.999])
def test_each_unit_takes_part_with_the_stated_probability(probability: float) -> None:
    taken = SecureNoise().poisson_sample(SIZE, probability)
    assert stats.binomtest(taken.size, SIZE, probability).pvalue > FALSE_ALARM
    assert (np.diff(taken) > 0).all() and taken.min() >= 0 and taken.max() < SIZE
    # A sample of fixed size would have the right mean and no spread.
    sizes = [SecureNoise().poisson_sample(400, probability).size for _ in range(200)]
    assert len(set(sizes)) > 1


def test_samples_of_everybody_and_of_nobody() -> None:
    assert SecureNoise().poisson_sample(5, 1.0).tolist() == [0, 1, 2, 3, 4]
    assert SecureNoise().poisson_sample(0, 0.5).tolist() == []


def test_the_shape_is_the_one_asked_for() -> None:
    noise = SecureNoise()
    assert [noise.discrete_gaussian(shape, SIGMA).shape for shape in ((), (0,), (2, 3))] == [(), (0,), (2, 3)]


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, float("nan")])
def test_an_impossible_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        SecureNoise().poisson_sample(2, probability)
