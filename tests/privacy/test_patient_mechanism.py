"""The patient-level mechanism: sensitivity, noise, sampling and accounting agree, and each break is caught."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, TrainingError
from fedvoxel.privacy import patient_mechanism
from fedvoxel.privacy.accounting import epsilon
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.noise import FixedNoise, SecureNoise
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig

SECTION = {
    "unit": "patient",
    "clip_norm": 0.5,
    "noise_multiplier": 2.2,
    "sampling_probability": 0.32,
    "steps_per_round": 10,
    "delta": 1e-3,
    "expected_batch": 12.8,
}
LAYOUT = {"kernel": (40, 30), "bias": (30,)}
FALSE_ALARM = 1e-9


def _mechanism(**changes: Any) -> PatientMechanism:
    return PatientMechanism(parse_config(PatientMechanismConfig, SECTION | changes, "the section"))


def _clipped_sum(mechanism: PatientMechanism, gradients: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the sum over patients, the first axis, as a trainer takes it."""
    flat = np.concatenate([array.reshape(len(array), -1) for array in gradients.values()], axis=1)
    factors = mechanism.clip_factor(np.linalg.norm(flat, axis=1))
    return {name: np.tensordot(factors, array, axes=1) for name, array in gradients.items()}


def check_sensitivity(mechanism: PatientMechanism) -> None:
    """Fails if one patient more, however extreme, can move the sum by more than the clip bound."""
    random = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 1e4, 1e30):
        gradients = {name: random.normal(size=(6, *shape)) * scale for name, shape in LAYOUT.items()}
        everyone = _clipped_sum(mechanism, gradients)
        without = _clipped_sum(mechanism, {name: array[1:] for name, array in gradients.items()})
        moved = math.sqrt(sum(float(np.square(everyone[name] - without[name]).sum()) for name in LAYOUT))
        assert moved <= mechanism.config.clip_norm * (1 + 1e-9), f"one patient moved the sum by {moved:g}"


def check_noise(mechanism: PatientMechanism) -> None:
    """Fails if the noise on the sum is not what the accounted event says, relative to the clip bound."""
    size = 200_000
    event = mechanism.round_event()
    noise = mechanism.noisy_mean({"all": np.zeros(size)})["all"] * mechanism.config.expected_batch
    squares = float(np.square(noise / (event.noise_multiplier * mechanism.config.clip_norm)).sum())
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], size)
    assert low < squares < high, f"the noise is {math.sqrt(squares / size):.2f} of what is accounted for"
    assert stats.kstest(noise / mechanism.noise_scale, "norm").pvalue > FALSE_ALARM


def check_sampling(mechanism: PatientMechanism) -> None:
    """Fails if patients take part with another probability than the accounted event says, or in samples of one size."""
    sizes = [mechanism.sample(400).size for _ in range(500)]
    probability = mechanism.round_event().sampling_probability
    assert stats.binomtest(sum(sizes), 400 * 500, probability).pvalue > FALSE_ALARM, "another sampling probability"
    spread = float(np.var(sizes) / (400 * probability * (1 - probability)))
    assert 0.5 < spread < 2, "no Poisson sample"


def check_accounting(mechanism: PatientMechanism, rounds: int) -> None:
    """Fails if a released sum is in no event, round by round or over the run."""
    before = mechanism.steps_taken
    for _ in range(rounds * mechanism.config.steps_per_round):
        mechanism.noisy_mean({"bias": np.zeros(3)})
    steps = mechanism.steps_taken - before
    assert sum(event.count for event in mechanism.events(rounds)) == steps, "a step is in no event"
    charged = epsilon([mechanism.round_event()] * rounds, mechanism.config.delta)
    assert charged == epsilon(mechanism.events(rounds), mechanism.config.delta)
    assert charged >= epsilon([_reference_step(mechanism)] * steps, mechanism.config.delta), "less charged than spent"


def _reference_step(mechanism: PatientMechanism) -> GaussianEvent:
    config = mechanism.config
    return GaussianEvent(
        noise_multiplier=config.noise_multiplier or 0.0, sampling_probability=config.sampling_probability, count=1
    )


def test_sensitivity_noise_sampling_and_accounting_agree() -> None:
    check_sensitivity(_mechanism())
    check_noise(_mechanism())
    check_sampling(_mechanism())
    check_accounting(_mechanism(), rounds=3)


def test_a_missing_clip_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_mechanism, "clip_factors", lambda norms, clip_norm: np.ones_like(norms))
    with pytest.raises(AssertionError, match="one patient moved the sum"):
        check_sensitivity(_mechanism())


def test_a_clip_to_another_bound_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = patient_mechanism.clip_factors
    monkeypatch.setattr(patient_mechanism, "clip_factors", lambda norms, clip_norm: whole(norms, 1.01 * clip_norm))
    with pytest.raises(AssertionError, match="one patient moved the sum"):
        check_sensitivity(_mechanism())


def test_halved_noise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SecureNoise.discrete_gaussian
    monkeypatch.setattr(SecureNoise, "discrete_gaussian", lambda self, shape, sigma: whole(self, shape, sigma // 2))
    with pytest.raises(AssertionError, match=r"0\.50 of what is accounted for"):
        check_noise(_mechanism())


def test_noise_divided_by_the_batch_before_it_is_added_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism = _mechanism()
    monkeypatch.setattr(PatientMechanism, "noise_scale", property(lambda self: 2.2 * 0.5 / self.config.expected_batch))
    with pytest.raises(AssertionError, match="of what is accounted for"):
        check_noise(mechanism)


def test_batches_of_fixed_size_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    shuffled = np.random.default_rng(0)
    monkeypatch.setattr(
        SecureNoise, "poisson_sample", lambda self, count, q: shuffled.choice(count, round(q * count), replace=False)
    )
    with pytest.raises(AssertionError, match="no Poisson sample"):
        check_sampling(_mechanism())


def test_another_sampling_probability_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SecureNoise.poisson_sample
    monkeypatch.setattr(SecureNoise, "poisson_sample", lambda self, count, q: whole(self, count, q * 1.1))
    with pytest.raises(AssertionError, match="another sampling probability"):
        check_sampling(_mechanism())


def test_a_dropped_event_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = PatientMechanism.events
    monkeypatch.setattr(PatientMechanism, "events", lambda self, rounds: whole(self, rounds - 1))
    with pytest.raises(AssertionError, match="a step is in no event"):
        check_accounting(_mechanism(), rounds=3)


def test_a_round_that_charges_one_step_less_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PatientMechanism, "round_event", lambda self: self._event(self.config.steps_per_round - 1))
    with pytest.raises(AssertionError):
        check_accounting(_mechanism(), rounds=3)


def test_a_reused_random_state_is_caught() -> None:
    def released(mechanism: PatientMechanism) -> np.ndarray:
        return mechanism.noisy_mean({"all": np.zeros(100)})["all"]

    config = PatientMechanismConfig(**SECTION)
    first, second = (released(PatientMechanism(config, FixedNoise(1))) for _ in range(2))
    assert np.isin(first, second).all()  # what the next line is about
    first, second = (released(PatientMechanism(config)) for _ in range(2))
    assert not np.isin(first, second).any()


def test_the_denominator_is_public_whoever_was_drawn() -> None:
    mechanism = _mechanism(noise_multiplier=None)
    summed = {"bias": np.full(3, 6.4)}
    np.testing.assert_array_equal(mechanism.noisy_mean(summed)["bias"], np.full(3, 0.5))
    assert mechanism.noisy_mean({"bias": np.zeros(3)})["bias"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("clip_norm", [1e-3, 0.5, 0.7, 300.0])
def test_the_last_bits_of_a_release_do_not_tell_what_was_added(clip_norm: float) -> None:
    mechanism = _mechanism(expected_batch=1, clip_norm=clip_norm)
    for value in (0.0, 2.0**-60 * clip_norm, 0.3 * clip_norm):
        steps = mechanism.noisy_mean({"all": np.full(1000, value)})["all"] / mechanism.grid_step
        np.testing.assert_array_equal(steps, np.rint(steps))
        # The noise is no multiple of anything larger, and spans the grid.
        assert 350 < (steps % 2).sum() < 650
        assert np.abs(steps).max() > 2**40


def test_noise_is_added_and_the_sum_left_as_it_is() -> None:
    summed = {"kernel": np.ones((4, 5), np.float32), "bias": np.ones(4)}
    noisy = _mechanism().noisy_mean(summed)
    assert {name: array.shape for name, array in noisy.items()} == {"kernel": (4, 5), "bias": (4,)}
    assert all((array == 1).all() for array in summed.values())
    assert np.unique(noisy["kernel"]).size == 20


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e6])
def test_what_is_no_sum_of_clipped_gradients_is_not_released(bad: float) -> None:
    mechanism = _mechanism()
    with pytest.raises(TrainingError, match="expected a sum of clipped gradients"):
        mechanism.noisy_mean({"bias": np.array([0.0, bad])})
    assert mechanism.steps_taken == 0


def test_the_claim_is_that_of_all_steps() -> None:
    guarantee = _mechanism().guarantee(18)
    assert guarantee is not None
    assert guarantee.epsilon == pytest.approx(7.8870, abs=1e-4)
    assert (guarantee.unit, guarantee.delta) == ("patient", 1e-3)
    assert "18 rounds of 10 steps" in guarantee.said()


def test_the_claim_is_about_one_hospital_and_says_so() -> None:
    """No hospital can see whom another one treats, so no claim can be about a patient over all hospitals."""
    guarantee = _mechanism().guarantee(18)
    assert guarantee is not None
    assert "epsilon holds for each hospital by itself" in guarantee.said()
    assert "treated at several, and over other jobs, the losses add up" in guarantee.said()


def test_no_claim_without_noise_or_with_noise_that_repeats_and_no_cost_without_a_round() -> None:
    assert _mechanism(noise_multiplier=None).guarantee(1) is None
    assert PatientMechanism(PatientMechanismConfig(**SECTION), FixedNoise(0)).guarantee(1) is None
    assert epsilon(_mechanism(noise_multiplier=None).events(1), 1e-3) == math.inf
    assert _mechanism().events(0) == ()


def test_a_cohort_smaller_than_a_batch_or_than_delta_allows_is_declined() -> None:
    _mechanism().check_cohort(40)
    with pytest.raises(ConfigError, match="larger than the cohort of 12"):
        _mechanism().check_cohort(12)
    with pytest.raises(ConfigError, match="at least one patient"):
        _mechanism().check_cohort(0)
    with pytest.raises(ConfigError, match="choose at most"):
        _mechanism(delta=0.03).check_cohort(40)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("clip_norm", 0.0),
        ("clip_norm", float("inf")),
        ("noise_multiplier", 0.0),
        ("noise_multiplier", 1e-300),
        ("noise_multiplier", 0.009),
        ("steps_per_round", 0),
        ("noise_multiplier", float("nan")),
        ("sampling_probability", 0.0),
        ("sampling_probability", 1.01),
        ("delta", 0.0),
        ("delta", 1.0),
        ("expected_batch", 0.0),
        ("views_per_patient", 0),
        ("epsilon", 8.0),
    ],
)
def test_an_impossible_section_is_refused_by_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=key):
        _mechanism(**{key: value})


@pytest.mark.parametrize("key", ["clip_norm", "noise_multiplier", "sampling_probability", "delta", "expected_batch"])
def test_nothing_that_decides_the_guarantee_has_a_default(key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        parse_config(PatientMechanismConfig, {k: v for k, v in SECTION.items() if k != key}, "the section")
