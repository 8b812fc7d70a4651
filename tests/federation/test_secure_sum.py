from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig
from fedvoxel.privacy.shared_noise import SharedNoise
from fedvoxel.updates.secure.grid import to_steps
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.update import Update

MODEL = {"w": np.zeros((4, 100), np.float32), "b": np.zeros(100, np.float32)}
CASES = {"a": 10, "b": 30, "c": 60}


def _rounds(bits: int = 16, **more: object) -> Rounds:
    section = {"num_rounds": 9, "min_sites": 3, "max_cases_per_site": 100, "secure_aggregation": {"bits": bits}} | more
    return Rounds(parse_config(RoundsConfig, section, "rounds"), MODEL)


def _updates(seed: int = 1) -> dict[str, dict[str, NDArray[np.float32]]]:
    random = np.random.default_rng(seed)
    return {
        site: {name: random.normal(0, 0.01, array.shape).astype(np.float32) for name, array in MODEL.items()}
        for site in CASES
    }


def _sum_up(rounds: Rounds, updates: Mapping[str, Mapping[str, NDArray[np.float32]]]) -> dict[str, NDArray[np.float32]]:
    """What the sites do, without masks; returns what was left of each site's parts, added up."""
    assert rounds.scale
    steps, most = rounds.scale.steps(len(updates)), rounds.scale.ring.most(len(updates))
    total = {name: np.zeros(array.shape, np.int64) for name, array in MODEL.items()}
    left = {name: np.zeros_like(array) for name, array in MODEL.items()}
    for index, (site, update) in enumerate(updates.items()):
        weighed = {name: array * CASES[site] for name, array in update.items()}
        whole, kept = to_steps(weighed, steps, most, np.random.default_rng(index))
        for name in MODEL:
            total[name] += whole[name]
            left[name] += kept[name]
    rounds.add_sum(total, steps, sum(CASES.values()), list(updates))
    return left


def _true_mean(updates: Mapping[str, Mapping[str, NDArray[np.float32]]], name: str) -> NDArray[np.float64]:
    return sum(updates[site][name].astype(np.float64) * cases for site, cases in CASES.items()) / sum(CASES.values())


@pytest.mark.parametrize(("bits", "error"), [(32, 1e-6), (16, 2e-3), (10, 0.08), (8, 0.4)])
def test_the_mean_is_that_of_the_cases_to_the_rings_resolution(bits: int, error: float) -> None:
    rounds, updates = _rounds(bits), _updates()
    _sum_up(rounds, updates)
    rounds.close_round()
    assert np.allclose(rounds.model["w"], _true_mean(updates, "w"), atol=1e-6)  # the first round takes 32 bits
    before, again = rounds.model["w"].copy(), _updates(2)
    _sum_up(rounds, again)
    rounds.close_round()
    made, true = rounds.model["w"] - before, _true_mean(again, "w")
    assert np.linalg.norm(made - true) <= error * np.linalg.norm(true) + 1e-6


def test_what_is_left_and_what_was_added_are_the_whole() -> None:
    rounds, updates = _rounds(8), _updates()
    for seed in (1, 2):
        updates, before = _updates(seed), rounds.model["b"].copy()
        left = _sum_up(rounds, updates)
        rounds.close_round()
        added = (rounds.model["b"] - before) * sum(CASES.values()) + left["b"]
        assert np.allclose(added, _true_mean(updates, "b") * sum(CASES.values()), atol=1e-4)


def test_a_single_sites_update_is_not_taken() -> None:
    rounds = _rounds()
    with pytest.raises(UpdateError, match="expected a masked one"):
        rounds.add("a", Update(MODEL, 5))
    with pytest.raises(UpdateError, match="0 of the 3 sites"):
        rounds.close_round()


def test_a_sum_is_not_taken_without_secure_aggregation() -> None:
    plain = Rounds(RoundsConfig(num_rounds=1), MODEL)
    with pytest.raises(UpdateError, match="without secure aggregation"):
        plain.add_sum({}, {}, 1, ["a"])


@pytest.mark.parametrize("cases", [0, -1, 301])
def test_an_absurd_number_of_cases_is_refused(cases: int) -> None:
    rounds = _rounds()
    whole = {name: np.zeros(array.shape, np.int64) for name, array in MODEL.items()}
    with pytest.raises(UpdateError, match="absurd weight"):
        rounds.add_sum(whole, {"w": 1.0, "b": 1.0}, cases, ["a", "b", "c"])


def test_too_narrow_a_ring_is_refused() -> None:
    rounds = _rounds(8)
    _sum_up(rounds, _updates())
    rounds.close_round()
    assert rounds.scale
    with pytest.raises(UpdateError, match="8 bits hold no sum of 200 sites"):
        rounds.scale.steps(200)


@pytest.mark.parametrize(
    "more",
    [
        {"aggregation": {"name": "median"}},
        {"contribution": {"method": "agreement"}},
        {"correction": {"name": "scaffold"}},
        {"compression": {"up": {"name": "int8"}}},
        {"selection": {"name": "random", "fraction": 0.5}},
    ],
)
def test_what_needs_sight_of_single_updates_is_refused(more: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="sees no single update"):
        _rounds(**more)


HOSPITAL = {"unit": "hospital", "clip_norm": 0.5, "noise_multiplier": None, "sites": 4, "delta": 1e-3}
SHARED = {
    "unit": "patient",
    "clip_norm": 0.5,
    "noise_multiplier": 1.0,
    "sampling_probability": 0.5,
    "steps_per_round": 1,
    "delta": 1e-3,
    "expected_batch": 4.0,
    "shared_noise": {"sites": 4, "colluders": 1, "dropouts": 1},
}


def _under(mechanism: HospitalMechanism | SharedNoise) -> Rounds:
    section = {"num_rounds": 2, "min_sites": 3, "evaluate": False, "secure_aggregation": {"least_sites": 3}}
    return Rounds(parse_config(RoundsConfig, section, "rounds"), MODEL, mechanism)


def test_hospitals_clip_their_own_parts_and_the_server_divides_by_their_public_number() -> None:
    mechanism = HospitalMechanism(parse_config(HospitalMechanismConfig, HOSPITAL, "privacy"))
    rounds, updates = _under(mechanism), _updates()
    updates["a"] = {name: array * 1000 for name, array in updates["a"].items()}
    parts = [mechanism.ring_part(update) for update in updates.values()]
    most = Ring(32).most(4)
    for part in parts:
        length = np.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in part.values()))
        assert length * mechanism.ring_step / 2**32 <= 0.5
        assert all(np.abs(array).max() <= most for array in part.values())
    rounds.add_sum({name: sum(part[name] for part in parts) for name in MODEL}, {}, 3, list(updates))
    rounds.close_round()
    clipped = [mechanism.clip(update).grid for update in updates.values()]
    for name in MODEL:
        assert np.allclose(rounds.model[name], sum(grid[name] for grid in clipped) / 2**32 / 4, atol=1e-7)


def test_a_sum_under_a_mechanism_counts_every_site_the_same() -> None:
    rounds = _under(HospitalMechanism(parse_config(HospitalMechanismConfig, HOSPITAL, "privacy")))
    whole = {name: np.zeros(array.shape, np.int64) for name, array in MODEL.items()}
    with pytest.raises(UpdateError, match="each of which counts as 1"):
        rounds.add_sum(whole, {}, 30, ["a", "b", "c"])


def test_shares_add_up_to_a_step_down_the_mean_gradient() -> None:
    mechanism = SharedNoise(parse_config(PatientMechanismConfig, SHARED, "privacy"))
    rounds = _under(mechanism)
    whole = {name: np.full(array.shape, 2**20, np.int64) for name, array in MODEL.items()}
    with pytest.raises(UpdateError, match="a sum of 2 sites' noise, expected 3"):
        rounds.add_sum(whole, {}, 2, ["a", "b"])
    rounds.add_sum(whole, {}, 3, ["a", "b", "c"])
    rounds.close_round()
    assert np.allclose(rounds.model["w"], -(2**20) * mechanism.grid.step / (4 * 4.0))
