"""Shares of noise: any sum that may be shown has the whole, and each break of what that rests on is caught."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, TrainingError, UpdateError
from fedvoxel.privacy import patient_mechanism
from fedvoxel.privacy.accounting import epsilon
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.noise import FixedNoise
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig, read_section
from fedvoxel.privacy.shared_noise import SharedNoise
from fedvoxel.privacy.simulation import plan_of, simulate

SHARING = {"sites": 5, "colluders": 1, "dropouts": 1}
SECTION: dict[str, Any] = {
    "unit": "patient",
    "clip_norm": 0.5,
    "noise_multiplier": 1.7,
    "sampling_probability": 0.32,
    "steps_per_round": 1,
    "delta": 1e-3,
    "expected_batch": 12.8,
    "shared_noise": SHARING,
}
FALSE_ALARM = 1e-9


def _config(**changes: Any) -> PatientMechanismConfig:
    return parse_config(PatientMechanismConfig, SECTION | changes, "the section")


def _shared(**changes: Any) -> SharedNoise:
    return SharedNoise(_config(**changes))


def check_whole(mechanism: SharedNoise, shares: int, size: int = 200_000) -> None:
    """Fails if `shares` shares together have less noise than is accounted for."""
    total = sum(mechanism.share({"all": np.zeros(size)})["all"] for _ in range(shares)) * mechanism.grid.step
    event = mechanism.patients.round_event()
    squares = float(np.square(total / (event.noise_multiplier * mechanism.config.clip_norm)).sum())
    low = stats.chi2.ppf(FALSE_ALARM, size)
    assert squares > low, f"the noise is {math.sqrt(squares / size):.2f} of what is accounted for"


def check_one_patient_moves_the_sum_by_no_more_than_the_bound(mechanism: SharedNoise) -> None:
    """Fails if a share takes a sum in which one patient more can count for more than C, however many parameters."""
    size, random = 100_000, np.random.default_rng(0)
    step, bound = mechanism.grid.step, mechanism.config.clip_norm
    gradients = random.normal(size=(4, size))
    clipped = gradients * (mechanism.patients.clip_factor(np.linalg.norm(gradients, axis=1)))[:, None]
    moved = mechanism.share({"all": clipped.sum(0)})["all"] - mechanism.share({"all": clipped[1:].sum(0)})["all"]
    assert float(np.linalg.norm(moved * step)) <= bound


# ---------------------------------------------------------------- noise


def test_the_least_sum_that_may_be_shown_has_the_whole_noise_without_the_colluders_shares() -> None:
    check_whole(_shared(), shares=5 - 1 - 1)
    check_whole(_shared(shared_noise={"sites": 5, "colluders": 0, "dropouts": 0}), shares=5)


def test_one_more_colluder_or_dropout_than_the_job_says_is_caught() -> None:
    with pytest.raises(AssertionError, match=r"0\.8[12] of what is accounted for"):
        check_whole(_shared(), shares=2)


def test_noise_shared_among_all_sites_whatever_may_be_missing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedvoxel.privacy.events.NoiseSharing.least_shares", property(lambda self: self.sites))
    with pytest.raises(AssertionError, match=r"0\.7[78] of what is accounted for"):
        check_whole(_shared(), shares=3)


def test_a_single_share_is_less_than_the_whole_and_is_normal() -> None:
    mechanism = _shared()
    share = mechanism.share({"all": np.zeros(200_000)})["all"] / mechanism.grid.sigma
    assert stats.kstest(share, "norm").pvalue > FALSE_ALARM
    assert mechanism.grid.sigma * mechanism.grid.step == pytest.approx(1.7 * 0.5 / math.sqrt(3), rel=1e-6)


def test_the_sum_of_all_shares_less_the_true_sum_has_the_stated_deviation_and_mean_zero() -> None:
    mechanism, random = _shared(), np.random.default_rng(1)
    true = np.trunc(random.normal(size=(5, 50_000)) / mechanism.grid.step) * mechanism.grid.step
    total = sum(mechanism.share({"all": one})["all"] for one in true)
    assert total.dtype == np.int64
    noise = total * mechanism.grid.step - true.sum(0)
    assert stats.kstest(noise / (1.7 * 0.5 * math.sqrt(5 / 3)), "norm").pvalue > FALSE_ALARM
    np.testing.assert_array_equal(noise / mechanism.grid.step, np.rint(noise / mechanism.grid.step))


def test_no_two_shares_have_the_same_noise() -> None:
    mechanism = _shared()
    first, second = (mechanism.share({"all": np.zeros(1000)})["all"] for _ in range(2))
    assert np.mean(first == second) < 0.01


# ---------------------------------------------------------------- range, grid, sensitivity


@given(st.integers(0, 2**32), st.floats(-(2.0**19), 2.0**19), st.integers(3, 60))
def test_a_share_never_leaves_its_range_whatever_was_summed(seed: int, value: float, sites: int) -> None:
    sharing = {"sites": sites, "colluders": 0, "dropouts": 0}
    mechanism = SharedNoise(_config(shared_noise=sharing), FixedNoise(seed))
    on_grid = np.trunc(value / mechanism.grid.step) * mechanism.grid.step
    share = mechanism.share({"all": np.full(50, on_grid)})["all"]
    assert np.abs(share).max() <= mechanism.grid.limit
    # As it is added up: modulo 2^32, and back.
    total = np.sum([share] * sites, axis=0)
    wrapped = (share.astype(np.uint32) * np.uint32(sites)).view(np.int32)
    np.testing.assert_array_equal(wrapped, total)


def test_without_the_clamp_the_ring_overflows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "clip", lambda steps, low, high: steps)
    with pytest.raises(AssertionError):
        test_a_share_never_leaves_its_range_whatever_was_summed.hypothesis.inner_test(1, 2.0**19, 5)


def test_what_a_sample_can_sum_to_is_not_clamped() -> None:
    mechanism = _shared(noise_multiplier=None)
    largest = np.trunc((8 + 2 * 12.8) * 0.5 / mechanism.grid.step)
    share = mechanism.share({"all": np.array([largest, -largest]) * mechanism.grid.step})["all"]
    assert share.tolist() == [largest, -largest]


def test_a_sum_that_was_rounded_as_a_whole_or_not_at_all_is_refused() -> None:
    """Rounding the sum would add up to one step for each parameter to what one patient can move."""
    with pytest.raises(TrainingError, match="not rounded before it was added"):
        check_one_patient_moves_the_sum_by_no_more_than_the_bound(_shared(noise_multiplier=None))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0**20])
def test_what_is_no_sum_of_clipped_gradients_is_not_shared(bad: float) -> None:
    mechanism = _shared()
    with pytest.raises(TrainingError, match="expected a sum of clipped gradients"):
        mechanism.share({"bias": np.array([0.0, bad])})
    assert mechanism.steps_taken == 0


# ---------------------------------------------------------------- the server's mean


def test_the_mean_is_over_all_sites_and_the_expected_batch_whoever_was_drawn() -> None:
    mechanism = _shared(noise_multiplier=None)
    site = {"bias": np.full(3, 2.0), "kernel": np.zeros((2, 2))}
    total = {name: 4 * array for name, array in mechanism.share(site).items()}  # one of five is missing
    mean = mechanism.mean(total)
    np.testing.assert_allclose(mean["bias"], np.full(3, 4 * 2.0 / (5 * 12.8)), rtol=1e-7)
    assert mean["bias"].dtype == np.float32 and not mean["kernel"].any()


def test_what_is_no_sum_of_shares_is_refused() -> None:
    mechanism = _shared()
    largest = mechanism.grid.limit * 5
    mechanism.mean({"bias": np.array([largest, -largest])})
    for bad in (np.array([largest + 1]), np.array([-largest - 1]), np.array([0.5])):
        with pytest.raises(UpdateError, match="bias is no sum of shares"):
            mechanism.mean({"bias": bad})


# ---------------------------------------------------------------- accounting and words


def test_epsilon_is_that_of_the_whole_noise_at_every_site() -> None:
    alone = PatientMechanism(_config(shared_noise=None))
    shared = _shared()
    assert epsilon(shared.events(100), 1e-3) == epsilon(alone.events(100), 1e-3)
    guarantee, whole = shared.guarantee(100), alone.guarantee(100)
    assert guarantee is not None and whole is not None
    assert guarantee.epsilon == whole.epsilon == pytest.approx(7.8942, abs=1e-4)
    assert (guarantee.unit, guarantee.delta) == ("patient", 1e-3)
    assert guarantee.neighbouring == "add or remove one patient" and "dp-accounting" in guarantee.accountant


def test_the_claim_says_against_whom_it_holds_and_against_whom_it_does_not() -> None:
    said = read_guarantee(SHARING)
    assert "the server and any 1 of the 5 hospitals together" in said
    assert "one sum a round, of at least 4 of the 5 hospitals" in said
    assert "secure aggregation holds" in said and "nothing is claimed against one who sees a hospital's share" in said
    assert "run the approved software" in said and "of one who is treated at k" in said
    nobody = read_guarantee({"sites": 5, "colluders": 0, "dropouts": 0})
    assert "anybody but one of the 5 hospitals, each of which knows its own noise" in nobody


def read_guarantee(sharing: dict[str, int]) -> str:
    guarantee = _shared(shared_noise=sharing).guarantee(100)
    assert guarantee is not None
    return guarantee.said()


def test_no_claim_without_noise_or_with_noise_that_repeats() -> None:
    assert _shared(noise_multiplier=None).guarantee(1) is None
    assert SharedNoise(_config(), FixedNoise(0)).guarantee(1) is None


def test_a_plan_with_shares_costs_the_same_and_is_another_plan() -> None:
    """Else a share, kept under one plan, could be sent alone under the other, with too little noise."""
    with_shares, without = plan_of(_config(), 100), plan_of(_config(shared_noise=None), 100)
    others = [plan_of(_config(shared_noise=SHARING | change), 100) for change in ({"dropouts": 0}, {"colluders": 0})]
    assert all(with_shares != other for other in (without, *others)) and others[0] != others[1]
    assert simulate(with_shares).epsilon == simulate(without).epsilon


def test_an_event_without_shares_is_written_as_before_and_read_from_ledgers_of_before() -> None:
    plain = GaussianEvent(noise_multiplier=1.0, sampling_probability=0.5, count=2)
    assert plain.model_dump(mode="json") == {"noise_multiplier": 1.0, "sampling_probability": 0.5, "count": 2}
    shared = _shared().patients.round_event()
    assert shared.model_dump(mode="json")["sharing"] == SHARING
    for event in (plain, shared):
        assert GaussianEvent.model_validate(event.model_dump(mode="json")) == event


def test_a_site_with_shared_noise_releases_nothing_by_itself() -> None:
    with pytest.raises(ConfigError, match="no site releases anything by itself"):
        PatientMechanism(_config()).noisy_mean({"bias": np.zeros(3)})
    with pytest.raises(ConfigError, match="shared_noise is not there"):
        SharedNoise(_config(shared_noise=None))


def test_sampling_and_clip_are_the_patient_mechanisms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_mechanism, "clip_factors", lambda norms, clip_norm: norms * 0 + 0.25)
    assert _shared().patients.clip_factor(np.ones(1)).tolist() == [0.25]


# ---------------------------------------------------------------- the section


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps_per_round": 2}, "steps_per_round is 2, expected 1"),
        ({"shared_noise": {"sites": 2, "colluders": 0, "dropouts": 0}}, "sites"),
        ({"shared_noise": {"sites": 5, "colluders": 2, "dropouts": 2}}, "is 1, expected at least 2"),
        ({"shared_noise": {"sites": 5, "colluders": 9, "dropouts": 0}}, "is -4, expected at least 2"),
        ({"shared_noise": {"sites": 5, "colluders": 1, "dropouts": 2}}, "could have two sums of one round signed"),
        ({"shared_noise": {"sites": 5, "colluders": -1, "dropouts": 0}}, "colluders"),
        ({"shared_noise": {"sites": 5, "colluders": 1}}, "dropouts"),
        ({"shared_noise": SHARING | {"threshold": 3}}, "threshold"),
        ({"expected_batch": 1e6, "noise_multiplier": 0.1}, "grid steps, expected at least 1024"),
    ],
)
def test_an_impossible_section_is_refused_by_key(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_section(SECTION | changes)


def test_the_unit_hospital_shares_no_noise() -> None:
    section = {"unit": "hospital", "clip_norm": 1.0, "noise_multiplier": 4.0, "sites": 5, "delta": 1e-3}
    with pytest.raises(ConfigError, match="shared_noise"):
        read_section(section | {"shared_noise": SHARING})
