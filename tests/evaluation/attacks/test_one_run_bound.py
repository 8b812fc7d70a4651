"""Lower bounds from guesses: published and independent values, and that a sound mechanism is not ruled out."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from fedvoxel.evaluation.attacks.canaries import Scores, guess
from fedvoxel.evaluation.attacks.one_run_bound import (
    Guesses,
    event_curve,
    gaussian_curve,
    ruled_out_epsilon,
    rules_out,
    steinke_epsilon,
)
from fedvoxel.privacy.accounting import epsilon
from fedvoxel.privacy.events import GaussianEvent


@pytest.mark.parametrize(
    ("canaries", "made", "correct", "delta", "bound"),
    [
        (1000, 1000, 1000, 1e-5, 5.7823),
        (1000, 100, 100, 1e-5, 3.4654),
        (100, 100, 80, 1e-5, 0.9581),
        (1000, 200, 190, 1e-5, 2.3936),
        (100, 40, 36, 1e-3, 1.1912),
        (60, 60, 60, 1e-3, 2.7975),
        (100, 100, 55, 1e-5, 0.0),
    ],
)
def test_the_bound_for_any_mechanism(canaries: int, made: int, correct: int, delta: float, bound: float) -> None:
    assert steinke_epsilon(Guesses(canaries, made, correct), delta) == pytest.approx(bound, abs=1e-4)


@pytest.mark.parametrize(("canaries", "bound"), [(20, 4.73), (40, 6.35), (100, 8.22), (200, 9.51), (1000, 12.33)])
def test_the_bound_for_a_gaussian_with_every_guess_right(canaries: int, bound: float) -> None:
    step = GaussianEvent(noise_multiplier=1.0, sampling_probability=1, count=1)
    found = ruled_out_epsilon(step, 1e-5, [Guesses(canaries, canaries, canaries)])
    # The search stops a factor of 16 ** (1 / 256) of the noise short of the value.
    assert bound - 0.2 < found <= bound + 0.01


def test_no_better_than_chance_proves_nothing() -> None:
    step = GaussianEvent(noise_multiplier=1.0, sampling_probability=1, count=1)
    assert ruled_out_epsilon(step, 1e-5, [Guesses(1000, 1000, 500)]) == 0
    assert steinke_epsilon(Guesses(1000, 0, 0), 1e-5) == 0


@pytest.mark.parametrize("mu", [0.5, 1.5, 3.0])
def test_a_gaussian_mechanism_is_seldom_ruled_out_by_its_own_canaries(mu: float) -> None:
    random = np.random.default_rng(3)
    wrong = 0
    for _ in range(40):
        included = random.random(500) < 0.5
        scores = Scores(included, random.normal(size=500) + mu * included)
        wrong += any(rules_out(gaussian_curve(mu), guess(scores, share)) for share in (0.05, 0.3, 1.0))
    assert wrong <= 6, "95 % of sound mechanisms should stand"


def test_the_accountants_curve_is_below_the_exact_one_and_near_it() -> None:
    event = GaussianEvent(noise_multiplier=2.0, sampling_probability=1, count=4)
    sampled = event_curve(event.model_copy(update={"sampling_probability": 1 - 1e-9}))
    for probability in (0.01, 0.1, 0.5, 0.9):
        exact = float(norm.cdf(norm.ppf(probability) - 1.0))
        assert event_curve(event)(probability) == pytest.approx(exact)
        assert 0.9 * exact <= sampled(probability) <= exact * (1 + 1e-6)


def test_a_refuted_claim_gives_a_bound_above_it() -> None:
    event = GaussianEvent(noise_multiplier=5.0, sampling_probability=1, count=1)
    claimed = epsilon([event], 1e-5)
    assert ruled_out_epsilon(event, 1e-5, [Guesses(1000, 500, 499)]) > claimed
    assert math.isfinite(claimed)
