"""The arms are what they say they are, and the page adds their figures up."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.distributed_noise.arms import ARMS, DELTA, EPSILON, STEPS, Arm, configuration, rounds_of, task_of
from benchmarks.distributed_noise.hospitals import PATIENTS, SITES, five_hospitals
from benchmarks.distributed_noise.report import Found, best_rate, write_results
from fedvoxel.errors import CohortError
from fedvoxel.privacy.accounting import epsilon
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig

BY_NAME = {arm.name: arm for arm in ARMS}


def _section(arm: Arm) -> PatientMechanismConfig:
    section = task_of(arm, 1, 0.01).privacy
    assert isinstance(section, PatientMechanismConfig)
    return section


def _whole_noise(arm: Arm) -> float:
    """Returns the noise on the sum of the fewest shares that may be shown, over the clip bound."""
    section = _section(arm)
    assert section.share_grid is not None
    grid = section.share_grid
    return float(grid.sigma * grid.step * grid.sharing.least_shares**0.5 / grid.clip_norm)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "shared", "shared_11"])
def test_every_guarantee_is_the_same_epsilon(name: str) -> None:
    arm = BY_NAME[name]
    events = PatientMechanism(_section(arm)).events(rounds_of(arm, 0.01).num_rounds)
    assert epsilon(events, DELTA) == pytest.approx(EPSILON, abs=0.01)
    assert DELTA <= 1 / (10 * PATIENTS) and sum(event.count for event in events) == STEPS


def test_who_adds_how_much() -> None:
    needed = _section(BY_NAME["local"]).noise_multiplier
    assert needed is not None
    for name in ("shared", "shared_11"):
        assert _whole_noise(BY_NAME[name]) == pytest.approx(needed, rel=1e-5)
    # Each hospital's own share is the whole, whether it takes ten steps or one.
    assert _whole_noise(BY_NAME["own"]) / SITES**0.5 == pytest.approx(needed, rel=1e-5)
    assert _section(BY_NAME["none"]).noise_multiplier is None


def test_all_arms_train_one_network_for_as_many_steps() -> None:
    tasks = [task_of(arm, 1, 0.01) for arm in ARMS]
    assert all(task.training.network == tasks[0].training.network and task.plan == tasks[0].plan for task in tasks)
    assert {arm.rounds * _section(arm).steps_per_round for arm in ARMS} == {STEPS}
    assert len({str(configuration(arm, 1, 0.01)) for arm in ARMS}) == len(ARMS)


def test_the_page_takes_each_arms_best_rate_of_the_first_seed(tmp_path: Path) -> None:
    found: Found = {}
    for index, arm in enumerate(ARMS):
        for rate, dice in ((0.01, 0.5), (0.02, 0.4 + 0.05 * index)):
            found[arm.name, rate, 1] = _values(dice)
        found[arm.name, best_rate(found, arm, 1), 2] = _values(0.3)
    assert [best_rate(found, arm, 1) for arm in ARMS] == [0.01, 0.01, 0.01, 0.02, 0.02]
    write_results(found, [1, 2], tmp_path)
    text = (tmp_path / "distributed_noise.md").read_text()
    assert "0.400 | 0.500 / 0.300 | 0.01: 0.500, 0.02: 0.400 |" in text
    assert "on 3 patients" in text and "seeds 1, 2" in text and "promises nothing" in text
    assert "the best of the same rates" in text
    write_results({key: values for key, values in found.items() if key[1:] == (0.01, 1)}, [1], tmp_path)
    assert "No other rate was tried" in (tmp_path / "distributed_noise.md").read_text()


def _values(dice: float) -> dict[str, Any]:
    return {"dice": dice, "by_site": {"hospital-1": [dice, dice], "hospital-2": [dice]}, "cpu_s": 1.0}


def test_nobody_is_tested_on_who_was_trained_on(data_folder: Path, tmp_path: Path) -> None:
    sites = five_hospitals(data_folder, tmp_path, task_of(ARMS[0], 1, 0.01))
    trained = {case.case for cases in sites.values() for case in cases.training}
    tested = {case.case for cases in sites.values() for case in cases.test}
    assert len(sites) == SITES and len(trained) == SITES * PATIENTS and not trained & tested


def test_without_the_scans_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(CohortError, match="expected the hippocampus set"):
        five_hospitals(tmp_path, tmp_path, task_of(ARMS[0], 1, 0.01))
