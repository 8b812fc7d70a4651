"""Canaries go through the code that trains: right noise stands, too little noise and a missing clip are caught."""

from typing import Any

import numpy as np
import pytest

from fedvoxel.evaluation.attacks.canaries import audit_mechanism
from fedvoxel.privacy import patient_mechanism
from fedvoxel.privacy.noise import Noise, SecureNoise
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig, read_section

PATIENT = {
    "unit": "patient",
    "clip_norm": 0.5,
    "noise_multiplier": 1.6,
    "sampling_probability": 1.0,
    "steps_per_round": 1,
    "delta": 1e-5,
    "expected_batch": 4,
}
HOSPITAL = {"unit": "hospital", "clip_norm": 2.0, "noise_multiplier": 3.0, "sites": 4, "delta": 1e-5}
ROUNDS = 5


class FifthOfTheNoise(SecureNoise):
    """Adds a fifth of what the mechanism asks for and accounts for."""

    def discrete_gaussian(self, shape: tuple[int, ...], sigma: int) -> np.ndarray:
        return super().discrete_gaussian(shape, sigma // 5)


class NoNoiseOnTheBias(SecureNoise):
    """Forgets the noise of every second array."""

    calls = 0

    def discrete_gaussian(self, shape: tuple[int, ...], sigma: int) -> np.ndarray:
        self.calls += 1
        return super().discrete_gaussian(shape, sigma) * (self.calls % 2)


def section(values: dict[str, Any], **changes: Any) -> PatientMechanismConfig | HospitalMechanismConfig:
    return read_section(values | changes)


@pytest.mark.parametrize("values", [PATIENT, HOSPITAL, PATIENT | {"noise_multiplier": 5.0}])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_is_proved_is_never_above_what_is_claimed(values: dict[str, Any], seed: int) -> None:
    found = audit_mechanism(section(values), ROUNDS, seed)
    assert found.epsilon_claimed is not None and not found.refutes_the_claim
    assert 0 < found.epsilon_proved < found.epsilon_claimed
    assert found.epsilon_proved_by_any_mechanism <= found.epsilon_proved
    assert 0.5 < found.auroc < 1


@pytest.mark.parametrize("values", [PATIENT, HOSPITAL])
def test_spare_draws_are_audited_as_they_are_claimed(values: dict[str, Any]) -> None:
    spared, plain = (
        audit_mechanism(section(values, spare_draws=2), ROUNDS - 2, 1),
        audit_mechanism(section(values), ROUNDS, 1),
    )
    assert (spared.releases, spared.epsilon_claimed) == (plain.releases, plain.epsilon_claimed)
    assert spared.epsilon_claimed and not spared.refutes_the_claim


def test_sampled_patients_are_audited_with_the_sampling_accounted_for() -> None:
    found = audit_mechanism(section(PATIENT, sampling_probability=0.4, steps_per_round=2), ROUNDS, 1)
    assert found.releases == 10 and not found.refutes_the_claim
    assert 0 < found.epsilon_proved < (found.epsilon_claimed or 0)


@pytest.mark.parametrize(
    ("values", "noise"),
    [
        (PATIENT, FifthOfTheNoise()),
        (HOSPITAL, FifthOfTheNoise()),
        (PATIENT | {"noise_multiplier": 5.0}, NoNoiseOnTheBias()),
    ],
)
def test_too_little_noise_is_caught(values: dict[str, Any], noise: Noise) -> None:
    found = audit_mechanism(section(values), ROUNDS, 1, noise)
    assert found.refutes_the_claim and found.epsilon_proved > (found.epsilon_claimed or 0)


def test_a_missing_clip_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_mechanism, "clip_factors", lambda norms, clip_norm: np.ones_like(norms))
    assert audit_mechanism(section(PATIENT), ROUNDS, 1).refutes_the_claim


def test_sampling_more_often_than_accounted_for_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SecureNoise, "poisson_sample", lambda self, count, probability: np.arange(count))
    sampled = section(PATIENT, sampling_probability=0.05, noise_multiplier=1.0, steps_per_round=4)
    assert audit_mechanism(sampled, ROUNDS, 1).refutes_the_claim


def test_without_noise_nothing_is_claimed_and_much_is_proved() -> None:
    found = audit_mechanism(section(PATIENT, noise_multiplier=None), ROUNDS, 1)
    assert found.epsilon_claimed is None and not found.refutes_the_claim
    assert found.epsilon_proved > 3 and found.auroc == 1


def test_an_adaptive_bound_is_audited() -> None:
    adaptive = {
        "quantile": 0.5,
        "learning_rate": 0.2,
        "count_noise_multiplier": 10.0,
        "least_clip_norm": 0.5,
        "greatest_clip_norm": 8.0,
    }
    found = audit_mechanism(section(HOSPITAL, sites=1000, noise_multiplier=3.0, adaptive_clip=adaptive), ROUNDS, 1)
    assert 0 < found.epsilon_proved < (found.epsilon_claimed or 0)
