"""A private round is charged before it is trained, kept before it is named, and never drawn twice unseen."""

from pathlib import Path

import numpy as np
import pytest

from fedvoxel.errors import BudgetExceededError, TrainingError
from fedvoxel.flare.private_rounds import PrivateRounds
from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.privacy.sections import PatientMechanismConfig
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
