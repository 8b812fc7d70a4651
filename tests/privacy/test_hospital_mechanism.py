"""The hospital-level mechanism: exact sums, noise once, a fixed denominator, and each break caught."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.privacy import hospital_mechanism
from fedvoxel.privacy.accounting import epsilon
from fedvoxel.privacy.clipping import GRID, ClippedSum, clip_update
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.noise import FixedNoise, SecureNoise
from fedvoxel.privacy.sections import HospitalMechanismConfig

SECTION = {"unit": "hospital", "clip_norm": 0.5, "noise_multiplier": 5.0, "sites": 4, "delta": 1e-5}
LAYOUT = {"kernel": (400, 500), "bias": (30,)}
FALSE_ALARM = 1e-9


def _mechanism(**changes: Any) -> HospitalMechanism:
    return HospitalMechanism(parse_config(HospitalMechanismConfig, SECTION | changes, "the section"))


def _arrays(seed: int, scale: float) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: (random.normal(size=shape) * scale).astype(np.float32) for name, shape in LAYOUT.items()}


def _sum(mechanism: HospitalMechanism, updates: list[dict[str, np.ndarray]]) -> ClippedSum:
    total = mechanism.new_sum(LAYOUT)
    for update in updates:
        total.add(mechanism.clip(update))
    return total


def _empty() -> dict[str, np.ndarray]:
    return {name: np.zeros(shape, np.float32) for name, shape in LAYOUT.items()}


def check_noise(mechanism: HospitalMechanism) -> None:
    """Fails if the noise on the sum is not what the accounted event says, relative to the clip bound."""
    released = mechanism.release(_sum(mechanism, [_empty()]))["kernel"].astype(np.float64)
    stated = mechanism.round_event().noise_multiplier * mechanism.config.clip_norm / mechanism.config.sites
    squares = float(np.square(released / stated).sum())
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], released.size)
    assert low < squares < high, f"the noise is {math.sqrt(squares / released.size):.2f} of what is accounted for"
    assert stats.kstest(released.ravel() / stated, "norm").pvalue > FALSE_ALARM


def check_sensitivity(mechanism: HospitalMechanism) -> None:
    """Fails if one hospital's update can move the sum by more than the clip bound; computed in whole numbers."""
    for scale in (1e-6, 1.0, 1000 / 6):
        others = [_arrays(seed, 0.01) for seed in range(3)]
        extreme = {name: np.clip(array, -1000, 1000) for name, array in _arrays(9, scale).items()}
        everyone, without = _sum(mechanism, [*others, extreme]).take(), _sum(mechanism, others).take()
        moved = math.sqrt(sum(_squares(everyone[name] - without[name]) for name in LAYOUT)) / GRID
        assert moved <= mechanism.config.clip_norm, f"one hospital moved the sum by {moved:g}"


def _squares(array: np.ndarray) -> int:
    return sum(value * value for value in array.ravel().tolist())


def test_sensitivity_and_noise_agree() -> None:
    check_sensitivity(_mechanism())
    check_noise(_mechanism())


def test_halved_noise_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SecureNoise.discrete_gaussian
    monkeypatch.setattr(SecureNoise, "discrete_gaussian", lambda self, shape, sigma: whole(self, shape, sigma // 2))
    with pytest.raises(AssertionError, match=r"0\.50 of what is accounted for"):
        check_noise(_mechanism())


def test_noise_for_the_mean_instead_of_the_sum_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism = _mechanism()
    less = mechanism.grid_sigma // mechanism.config.sites
    monkeypatch.setattr(HospitalMechanism, "grid_sigma", property(lambda self: less))
    with pytest.raises(AssertionError, match=r"0\.25 of what is accounted for"):
        check_noise(mechanism)


def test_a_missing_clip_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hospital_mechanism, "clip_update", lambda arrays, clip_norm: arrays)
    with pytest.raises(UpdateError, match="expected a ClippedUpdate"):
        check_sensitivity(_mechanism())


def test_a_clip_to_another_bound_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hospital_mechanism, "clip_update", lambda arrays, clip_norm: clip_update(arrays, 2 * clip_norm))
    with pytest.raises(UpdateError, match="wrong clip bound"):
        check_sensitivity(_mechanism())


def test_a_release_without_noise_for_comparison_is_the_plain_mean() -> None:
    mechanism = _mechanism(noise_multiplier=None, clip_norm=1000.0)
    updates = [_arrays(seed, 0.01) for seed in range(4)]
    released = mechanism.release(_sum(mechanism, updates))
    for name, array in released.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, sum(update[name] for update in updates) / 4, atol=1e-8)


def test_a_hospital_that_did_not_answer_counts_as_zero() -> None:
    mechanism = _mechanism(noise_multiplier=None, clip_norm=1000.0)
    updates = [_arrays(seed, 0.01) for seed in range(2)]
    released = mechanism.release(_sum(mechanism, updates))
    np.testing.assert_allclose(released["bias"], (updates[0]["bias"] + updates[1]["bias"]) / 4, atol=1e-8)


def test_a_sum_is_released_once() -> None:
    mechanism = _mechanism()
    total = _sum(mechanism, [_empty()])
    mechanism.release(total)
    with pytest.raises(UpdateError, match="released already"):
        mechanism.release(total)


def test_the_same_sum_never_gets_the_same_noise() -> None:
    mechanism = _mechanism()
    first, second = (mechanism.release(_sum(mechanism, [_empty()]))["bias"] for _ in range(2))
    assert not np.isin(first, second).any()
    fixed = [HospitalMechanism(mechanism.config, FixedNoise(1)) for _ in range(2)]
    first, second = (one.release(_sum(one, [_empty()]))["bias"] for one in fixed)
    assert np.isin(first, second).all()


def test_a_sum_that_does_not_fit_is_not_released() -> None:
    mechanism = _mechanism()
    with pytest.raises(UpdateError, match="clip bound"):
        mechanism.release(ClippedSum(LAYOUT, 1.0))
    with pytest.raises(UpdateError, match="between 1 and 4 updates in the sum, got 0"):
        mechanism.release(mechanism.new_sum(LAYOUT))
    with pytest.raises(UpdateError, match="got 5"):
        mechanism.release(_sum(mechanism, [_empty()] * 5))


def test_the_claim_is_that_of_all_rounds() -> None:
    guarantee = _mechanism().guarantee(30)
    assert guarantee is not None
    assert guarantee.epsilon == pytest.approx(4.86608, abs=2e-5)
    assert (guarantee.unit, guarantee.neighbouring) == ("hospital", "add or remove one hospital")
    assert "knows all other hospitals' updates and which hospitals take part" in guarantee.said()
    assert _mechanism().events(30) == (_mechanism().round_event().model_copy(update={"count": 30}),)
    assert _mechanism().events(0) == ()


def test_a_dropped_event_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def check() -> None:
        mechanism = _mechanism()
        assert epsilon(mechanism.events(30), 1e-5) >= epsilon([mechanism.round_event()] * 30, 1e-5)

    check()
    whole = HospitalMechanism.events
    monkeypatch.setattr(HospitalMechanism, "events", lambda self, rounds: whole(self, rounds - 1))
    with pytest.raises(AssertionError):
        check()


def test_no_claim_without_noise_or_with_noise_that_repeats() -> None:
    assert _mechanism(noise_multiplier=None).guarantee(1) is None
    assert HospitalMechanism(HospitalMechanismConfig(**SECTION), FixedNoise(0)).guarantee(1) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"clip_norm": 2000.0}, "clip_norm"),
        ({"noise_multiplier": 0.0}, "noise_multiplier"),
        ({"noise_multiplier": 0.009}, "greater than or equal to 0.01"),
        ({"noise_multiplier": 0.01}, "wide against the grid"),
        ({"sites": 0}, "sites"),
        ({"delta": 1.0}, "delta"),
        ({"weights": "cases"}, "weights"),
        ({"unit": "patient"}, "unit"),
    ],
)
def test_an_impossible_section_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _mechanism(**change)


# ------------------------------------------------------------------ an adaptive bound

MANY = {"clip_norm": 0.5, "noise_multiplier": 4.0, "sites": 100, "delta": 1e-5}
ADAPTIVE = {
    "quantile": 0.5,
    "learning_rate": 0.5,
    "count_noise_multiplier": 5.0,
    "least_clip_norm": 0.1,
    "greatest_clip_norm": 4.0,
}


def _adaptive(**changes: Any) -> HospitalMechanism:
    return _mechanism(**MANY | {"adaptive_clip": ADAPTIVE} | changes)


def _round(mechanism: HospitalMechanism, norms: list[float]) -> dict[str, np.ndarray]:
    total = mechanism.new_sum({"one": (1,)})
    for norm in norms:
        total.add(mechanism.clip({"one": np.array([norm], np.float32)}))
    return mechanism.release(total)


def check_adaptive_budget(mechanism: HospitalMechanism) -> None:
    """Fails if sum and count together cost more than the stated event, by their sensitivities over their noise."""
    stated = mechanism.round_event().noise_multiplier
    on_sum = mechanism.grid_sigma / (mechanism.clip_norm * GRID)
    on_count = float(ADAPTIVE["count_noise_multiplier"])
    assert 1 / on_sum**2 + 1 / on_count**2 <= stated**-2 * (1 + 1e-9), "sum and count cost more than the event says"


def test_the_noise_of_sum_and_count_together_is_that_of_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    mechanism = _adaptive()
    assert mechanism.config.sum_noise_multiplier == pytest.approx((4.0**-2 - 5.0**-2) ** -0.5)
    check_adaptive_budget(mechanism)
    assert mechanism.guarantee(10) == HospitalMechanism(_fixed_of(mechanism.config)).guarantee(10)
    monkeypatch.setattr(HospitalMechanismConfig, "sum_noise_multiplier", property(lambda self: self.noise_multiplier))
    with pytest.raises(AssertionError, match="cost more"):
        check_adaptive_budget(_adaptive())


def _fixed_of(config: HospitalMechanismConfig) -> HospitalMechanismConfig:
    return config.model_copy(update={"adaptive_clip": None})


def test_the_bound_follows_the_quantile_and_stays_in_its_range() -> None:
    for norms, low, high in (([0.05] * 100, 0.1, 0.1), ([30.0] * 100, 4.0, 4.0), ([1.0] * 50 + [3.0] * 50, 0.9, 3.1)):
        mechanism = _adaptive()
        for _ in range(60):
            _round(mechanism, norms)
        assert low <= mechanism.clip_norm <= high


def test_without_noise_the_bound_moves_as_the_paper_says() -> None:
    mechanism = _adaptive(noise_multiplier=None)
    _round(mechanism, [0.1] * 80 + [0.9] * 20)
    assert mechanism.clip_norm == pytest.approx(0.5 * math.exp(-0.5 * (0.8 - 0.5)))
    one_absent = _adaptive(noise_multiplier=None)
    _round(one_absent, [0.1] * 79 + [0.9] * 20)
    assert one_absent.clip_norm == pytest.approx(0.5 * math.exp(-0.5 * (0.5 + 59 / 200 - 0.5)))


def test_the_noise_on_the_count_is_the_stated_one() -> None:
    fractions = []
    for _ in range(2000):
        mechanism = _adaptive()
        _round(mechanism, [0.1] * 50 + [0.9] * 50)
        fractions.append(-math.log(mechanism.clip_norm / 0.5) / 0.5)
    # The fraction's noise: 5 / (2 * 100) of the stated multiplier; 7 standard errors of a deviation of 2000 draws.
    assert np.std(fractions) == pytest.approx(5.0 / 200, rel=0.11)


def test_an_update_clipped_to_an_earlier_bound_is_refused() -> None:
    mechanism = _adaptive()
    old = mechanism.clip({"one": np.ones(1, np.float32)})
    _round(mechanism, [0.1] * 100)
    with pytest.raises(UpdateError, match="wrong clip bound"):
        mechanism.new_sum({"one": (1,)}).add(old)


def test_a_site_shortens_to_the_largest_bound_so_that_the_server_can_tell_who_is_within() -> None:
    sent = _adaptive().clip_at_site({"one": np.full(4, 30.0, np.float32)})
    assert 3.99 < np.linalg.norm(sent["one"]) < 4.0001
    fixed = _mechanism().clip_at_site(_arrays(0, 1.0))
    assert 0.499 < math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in fixed.values())) < 0.5001
    assert all(array.dtype == np.float32 for array in fixed.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sites": 5}, "adapt from 41 hospitals on"),
        ({"sites": 40}, "adapt from 41 hospitals on"),
        ({"noise_multiplier": 5.0}, "expected more than noise_multiplier"),
        ({"noise_multiplier": 4.9999999}, "leaves nearly nothing"),
        ({"adaptive_clip": ADAPTIVE | {"count_noise_multiplier": 11.0}}, "follows its noise"),
        ({"adaptive_clip": ADAPTIVE | {"least_clip_norm": 0.6}}, "least_clip_norm <= clip_norm"),
        ({"adaptive_clip": ADAPTIVE | {"greatest_clip_norm": 0.4}}, "least_clip_norm <= clip_norm"),
        ({"adaptive_clip": ADAPTIVE | {"least_clip_norm": 1e-3}}, "wide against the grid"),
        ({"adaptive_clip": ADAPTIVE | {"greatest_clip_norm": 1e5}}, "greatest_clip_norm"),
        ({"adaptive_clip": ADAPTIVE | {"quantile": 1.0}}, "quantile"),
        ({"adaptive_clip": {"quantile": 0.5}}, "count_noise_multiplier"),
    ],
)
def test_a_bound_that_cannot_adapt_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _adaptive(**change)
