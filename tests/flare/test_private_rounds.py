"""A private round is charged before it is trained, kept before it is named, and never drawn twice unseen."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fedvoxel.errors import BudgetExceededError, ConfigError, LedgerError, TrainingError
from fedvoxel.flare.private_rounds import PrivateRounds
from fedvoxel.flare.section_agreement import check_same_section
from fedvoxel.privacy.charging import most_draws
from fedvoxel.privacy.events import GaussianEvent, NoiseSharing
from fedvoxel.privacy.guarantee import PrivacyUnit
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig
from fedvoxel.privacy.simulation import plan_of
from fedvoxel.privacy.spending import planned_epsilon
from fedvoxel.updates.secure.masked import MASKED
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import from_bytes

CONFIG = PatientMechanismConfig(
    unit="patient",
    clip_norm=1.0,
    noise_multiplier=5.0,
    sampling_probability=1.0,
    steps_per_round=3,
    delta=1e-3,
    expected_batch=4,
)
SPARED = CONFIG.model_copy(update={"spare_draws": 1})
FOUR_DRAWS = plan_of(CONFIG, 4)
ARRAYS = {"conv.weight": np.full(3, 0.5, np.float32)}


class Trained:
    """Counts how often a round is trained; returns a difference after so many steps."""

    def __init__(self, steps: int = 3) -> None:
        self.steps, self.times = steps, 0

    def __call__(self) -> tuple[Arrays, int]:
        self.times += 1
        return ARRAYS, self.steps


def rounds(folder: Path, epsilon: float = 8.0) -> tuple[PrivateRounds, Ledger]:
    ledger = Ledger(folder, "cohort", CohortBudget(unit="patient", epsilon=epsilon, delta=1e-3))
    return PrivateRounds(ledger, CONFIG, "run", "job"), ledger


def test_a_round_is_trained_and_charged_once_however_often_it_is_asked_for(tmp_path: Path) -> None:
    private, ledger = rounds(tmp_path)
    trained = Trained()
    release_id = private.release(0, 2, trained)
    assert private.release(0, 2, trained) == release_id and trained.times == 1
    assert np.array_equal(from_bytes(ledger.bytes_to_send(release_id))["conv.weight"], ARRAYS["conv.weight"])
    assert ledger.status().runs[0].drawn == 1


def test_what_was_kept_is_not_sent_again_under_a_changed_section(tmp_path: Path) -> None:
    private, ledger = rounds(tmp_path)
    private.release(0, 2, Trained())
    for changed, num_rounds in (({"noise_multiplier": 6.0}, 2), ({"delta": 5e-4}, 2), ({}, 3)):
        other = PrivateRounds(ledger, CONFIG.model_copy(update=changed), "run", "job-2")
        with pytest.raises(LedgerError, match="declared another"):
            other.release(0, num_rounds, Trained())


class Killed(BaseException):
    """Stands for the end of the process: the draw is charged, and nothing of it is kept."""


def die() -> tuple[Arrays, int]:
    raise Killed


def test_a_spare_draw_is_for_one_that_is_lost_and_not_for_two(tmp_path: Path) -> None:
    """Three rounds and a spare draw: all rounds are answered after one loss; a second costs the last round."""
    for lost in (1, 2):
        ledger = Ledger(tmp_path / str(lost), "cohort", CohortBudget(unit="patient", epsilon=8.0, delta=1e-3))
        private = PrivateRounds(ledger, SPARED, "run", "job")
        private.release(0, 3, Trained())
        for _ in range(lost):
            with pytest.raises(Killed):
                private.release(1, 3, die)
        again, trained = PrivateRounds(ledger, SPARED, "run", "job-2"), Trained()
        again.release(1, 3, trained)
        if lost == 1:
            ledger.bytes_to_send(again.release(2, 3, trained))
        else:
            with pytest.raises(BudgetExceededError, match=r"planned 4 releases and has used them.*spare_draws"):
                again.release(2, 3, trained)
        status = ledger.status()
        assert (status.runs[0].drawn, status.runs[0].kept, trained.times) == (4, 4 - lost, 3 - lost)
        assert status.spent_epsilon == planned_epsilon(FOUR_DRAWS), "whatever was lost, and from the first draw on"


def test_without_a_spare_draw_one_that_is_lost_costs_the_last_round(tmp_path: Path) -> None:
    private, ledger = rounds(tmp_path)
    with pytest.raises(Killed):
        private.release(0, 3, die)
    private.release(0, 3, Trained())
    private.release(1, 3, Trained())
    with pytest.raises(BudgetExceededError, match="planned 3 releases"):
        private.release(2, 3, Trained())
    assert ledger.status().spent_epsilon == planned_epsilon(FOUR_DRAWS.model_copy(update={"draws": 3}))


@pytest.mark.parametrize("changed", [0, 2])
def test_a_run_plans_its_spare_draws_once(changed: int, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "cohort", CohortBudget(unit="patient", epsilon=8.0, delta=1e-3))
    PrivateRounds(ledger, SPARED, "run", "job").release(0, 3, Trained())
    other = PrivateRounds(ledger, SPARED.model_copy(update={"spare_draws": changed}), "run", "job-2")
    for index in (0, 1):
        with pytest.raises(LedgerError, match="declared another draws"):
            other.release(index, 3, Trained())
    assert ledger.status().runs[0].drawn == 1


def test_server_and_site_plan_the_same_spare_draws() -> None:
    section = CONFIG.model_dump(mode="json")
    check_same_section(section, section | {"spare_draws": 0})
    with pytest.raises(ConfigError, match="another privacy section"):
        check_same_section(section, section | {"spare_draws": 1})


def test_a_budget_that_covers_the_rounds_alone_grants_no_spare_draw(tmp_path: Path) -> None:
    three = planned_epsilon(FOUR_DRAWS.model_copy(update={"draws": 3}))
    ledger = Ledger(tmp_path, "cohort", CohortBudget(unit="patient", epsilon=three + 1e-3, delta=1e-3))
    private = PrivateRounds(ledger, SPARED, "run", "job")
    for index in range(3):
        private.release(index, 3, Trained())
    with pytest.raises(BudgetExceededError, match="granted run run 3 of the 4 releases"):
        private.release(3, 3, Trained())


def test_more_steps_than_were_charged_do_not_leave(tmp_path: Path) -> None:
    private, ledger = rounds(tmp_path)
    with pytest.raises(TrainingError, match="took 4 noised steps, 3 were charged"):
        private.release(0, 2, Trained(steps=4))
    run = ledger.status().runs[0]
    assert (run.drawn, run.kept) == (1, 0), "the draw is charged, and nothing is kept of it"


def test_beyond_the_budget_nothing_is_trained(tmp_path: Path) -> None:
    private, ledger = rounds(tmp_path, epsilon=1e-3)
    trained = Trained()
    with pytest.raises(BudgetExceededError):
        private.release(0, 2, trained)
    assert trained.times == 0 and ledger.status().entries == 0


HOSPITAL_EVENT = GaussianEvent(noise_multiplier=5.0, sampling_probability=1.0, count=1)
HOSPITAL = HospitalMechanismConfig(unit="hospital", clip_norm=0.25, noise_multiplier=5.0, sites=4, delta=1e-3)


def hospital_rounds(folder: Path, epsilon: float = 8.0, unit: PrivacyUnit = "hospital") -> tuple[PrivateRounds, Ledger]:
    ledger = Ledger(folder, "cohort", CohortBudget(unit=unit, epsilon=epsilon, delta=1e-3))
    return PrivateRounds(ledger, HOSPITAL, "run", "job"), ledger


def test_a_hospitals_round_is_trained_plainly_shortened_and_charged_once(tmp_path: Path) -> None:
    private, ledger = hospital_rounds(tmp_path)
    trained = Trained(steps=0)
    release_id = private.release(0, 2, trained)
    assert private.release(0, 2, trained) == release_id and trained.times == 1
    sent = from_bytes(ledger.bytes_to_send(release_id))["conv.weight"]
    assert np.linalg.norm(sent) == pytest.approx(0.25, rel=1e-6) and sent.dtype == np.float32
    (run,) = ledger.status().runs
    assert (run.plan.unit, run.plan.event, run.plan.draws, run.drawn) == ("hospital", HOSPITAL_EVENT, 2, 1)


def test_a_cohort_that_protects_each_patient_does_not_serve_a_hospital_level_job(tmp_path: Path) -> None:
    private, ledger = hospital_rounds(tmp_path, unit="patient")
    trained = Trained(steps=0)
    with pytest.raises(ConfigError, match="protects each patient"):
        private.release(0, 2, trained)
    assert trained.times == 0 and ledger.status().entries == 0


def test_an_update_without_finite_values_counts_as_if_the_hospital_were_not_there(tmp_path: Path) -> None:
    private, ledger = hospital_rounds(tmp_path)
    release_id = private.release(0, 2, lambda: ({"conv.weight": np.full(3, np.nan, np.float32)}, 0))
    assert not from_bytes(ledger.bytes_to_send(release_id))["conv.weight"].any()
    run = ledger.status().runs[0]
    assert (run.drawn, run.kept) == (1, 1)


def test_beyond_a_hospitals_budget_nothing_is_trained(tmp_path: Path) -> None:
    private, _ = hospital_rounds(tmp_path, epsilon=1.3)
    trained = Trained(steps=0)
    granted = most_draws(RunPlan(unit="hospital", event=HOSPITAL_EVENT, draws=9, delta=1e-3), 1.3)
    assert 0 < granted < 9
    for index in range(granted):
        private.release(index, 9, trained)
    with pytest.raises(BudgetExceededError, match="goes on without this site"):
        private.release(granted, 9, trained)
    assert trained.times == granted


SHARED = CONFIG.model_copy(
    update={"steps_per_round": 1, "shared_noise": NoiseSharing(sites=4, colluders=1, dropouts=1)}
)
SHARE = {"conv.weight": np.array([3, -4, 5])}


def _hide(part: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.uint8]]:
    """Stands for a round's masks; keeps what it was given where the test can see it."""
    return {MASKED: np.frombuffer(b"FVS" + part["conv.weight"].astype("<i8").tobytes(), np.uint8)}


def test_a_share_of_the_noise_is_kept_masked_and_leaves_no_other_way(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "cohort", CohortBudget(unit="patient", epsilon=8.0, delta=1e-3))
    private = PrivateRounds(ledger, SHARED, "run", "job")
    with pytest.raises(ConfigError, match="leaves masked only"):
        private.release(0, 2, lambda: (SHARE, 1))
    assert ledger.status().entries == 0, "nothing was charged for it"
    release_id = private.release(0, 2, lambda: (SHARE, 1), _hide)
    kept = from_bytes(ledger.bytes_to_send(release_id))
    assert kept[MASKED].tobytes() == b"FVS" + np.array([3, -4, 5]).astype("<i8").tobytes()
    assert ledger.status().runs[0].drawn == 1


def test_a_masked_round_that_is_begun_again_is_drawn_anew_and_charged_again(tmp_path: Path) -> None:
    """Under new masks the same share would be in a second sum."""
    ledger = Ledger(tmp_path, "cohort", CohortBudget(unit="patient", epsilon=8.0, delta=1e-3))
    private = PrivateRounds(ledger, SHARED, "run", "job")
    first = private.release(0, 2, lambda: (SHARE, 1), _hide)
    other = {"conv.weight": np.array([1, 1, 1])}
    second = PrivateRounds(ledger, SHARED, "run", "job-2").release(0, 2, lambda: (other, 1), _hide)
    assert first != second and ledger.status().runs[0].drawn == 2
    kept = from_bytes(ledger.bytes_to_send(second))
    assert kept[MASKED].tobytes() == b"FVS" + np.array([1, 1, 1]).astype("<i8").tobytes()
    with pytest.raises(BudgetExceededError, match="has used them, those lost to crashes included"):
        private.release(1, 2, lambda: (SHARE, 1), _hide)


def test_a_spare_draw_is_for_a_masked_round_that_is_begun_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "cohort", CohortBudget(unit="patient", epsilon=8.0, delta=1e-3))
    config = SHARED.model_copy(update={"spare_draws": 1})
    PrivateRounds(ledger, config, "run", "job").release(0, 2, lambda: (SHARE, 1), _hide)
    again = PrivateRounds(ledger, config, "run", "job-2")
    for index in range(2):
        ledger.bytes_to_send(again.release(index, 2, lambda: (SHARE, 1), _hide))
    run = ledger.status().runs[0]
    assert (run.drawn, run.kept, run.sent) == (3, 3, 2) and run.epsilon == planned_epsilon(plan_of(SHARED, 3))


def test_a_hospitals_part_of_a_sum_is_clipped_before_it_is_masked(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "cohort", CohortBudget(unit="hospital", epsilon=8.0, delta=1e-3))
    private = PrivateRounds(ledger, HOSPITAL, "run", "job")
    seen: list[NDArray[np.int64]] = []

    def hide(part: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.uint8]]:
        seen.append(part["conv.weight"])
        return _hide(part)

    private.release(0, 2, lambda: ({"conv.weight": np.full(3, 900.0, np.float32)}, 0), hide)
    private.release(1, 2, lambda: ({"conv.weight": np.full(3, np.nan, np.float32)}, 0), hide)
    step = HospitalMechanism(HOSPITAL).ring_step / 2**32
    assert HOSPITAL.clip_norm * 0.99 < np.linalg.norm(seen[0]) * step <= HOSPITAL.clip_norm
    assert not seen[1].any(), "an update that is none counts as zero"
