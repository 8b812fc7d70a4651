"""A simulated run with shared noise is the run: what the trainers' commands and a plain sum give, step by step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.experiment import SiteCases, load_site_cases
from fedvoxel.evaluation.shared_simulation import descent, simulate_shared
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.server_optimizer import ServerOptimizer
from fedvoxel.privacy.noise import FixedNoise
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.privacy.shared_noise import SharedNoise
from fedvoxel.training.messages import Message
from fedvoxel.training.setup import TrainerSetup, TrainingTask
from fedvoxel.training.site_trainer import SiteTrainer
from fedvoxel.volumes.site import ComputeConfig
from tests.training.conftest import training_section, write_site

COMPUTE = ComputeConfig(threads=1, device="cpu")
SITES = {"hospital-a": 8, "hospital-b": 6, "hospital-c": 5}
PRIVACY: dict[str, Any] = {
    "unit": "patient",
    "clip_norm": 0.5,
    "noise_multiplier": None,
    "sampling_probability": 1.0,
    "steps_per_round": 1,
    "delta": 1e-3,
    "expected_batch": 4,
    "shared_noise": {"sites": 3, "colluders": 1, "dropouts": 0},
}
ADAM = {"name": "adam", "learning_rate": 0.02}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for site, cases in SITES.items():
        (tmp_path / site).mkdir()
        found[site] = write_site(tmp_path / site, cases)
    return found


def _task(**privacy: Any) -> TrainingTask:
    training = {key: value for key, value in training_section(augmentation={}).items() if key != "optimizer"}
    arguments = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": training}
    return parse_config(TrainingTask, arguments | {"privacy": PRIVACY | privacy}, "the test's task")


def _rounds(num_rounds: int) -> RoundsConfig:
    return parse_config(RoundsConfig, {"num_rounds": num_rounds, "server_optimizer": ADAM, "evaluate": False}, "rounds")


def _cases(files: dict[str, Path], task: TrainingTask) -> dict[str, SiteCases]:
    return {site: load_site_cases(file, task) for site, file in files.items()}


def test_a_simulation_gives_the_model_of_the_trainers_commands(files: dict[str, Path]) -> None:
    task, config = _task(), _rounds(3)
    sites = {
        site: SiteTrainer(TrainerSetup(task=task, site=site, site_file=str(file), state_folder=str(file.parent)))
        for site, file in files.items()
    }

    def ask(site: str, header: dict[str, Any], arrays: Any) -> Message:
        return sites[site].answer(Message(header, arrays), lambda *_: None)

    assert isinstance(task.privacy, PatientMechanismConfig)
    mechanism, optimizer = SharedNoise(task.privacy), ServerOptimizer(config.server_optimizer)
    model = dict(ask("hospital-a", {"command": "initialize"}, {}).arrays)
    for index in range(3):
        shares = [ask(site, {"command": "train_share", "round": index}, model).share for site in sites]
        total = {name: shares[0][name] + shares[1][name] + shares[2][name] for name in model}
        model = optimizer.step(model, descent(mechanism.mean(total), model))
    got = simulate_shared(task, config, _cases(files, task), COMPUTE)
    assert all(np.array_equal(got.model[name], array) for name, array in model.items())


def test_it_learns_and_scores_what_it_learnt(files: dict[str, Path]) -> None:
    task, told = _task(), []
    got = simulate_shared(task, _rounds(60), _cases(files, task), COMPUTE, progress=lambda *said: told.append(said))
    dice = [score.dice["blob"] or 0.0 for scores in got.test.values() for score in scores]
    assert len(dice) >= 3 and np.mean(dice) > 0.6
    assert told[-1] == (60, 60, None) and len(told) == 60


def test_noise_is_in_the_model(files: dict[str, Path]) -> None:
    task = _task(noise_multiplier=1.0)
    runs = [
        simulate_shared(task, _rounds(1), _cases(files, task), COMPUTE, noise).model
        for noise in (None, None, FixedNoise(1), FixedNoise(1))
    ]
    same = [all(np.array_equal(one[name], other[name]) for name in one) for one, other in (runs[:2], runs[2:])]
    assert same == [False, True]


def test_parameters_that_are_not_trained_stay() -> None:
    model = {"a": np.ones(2, np.float32), "b": np.ones(3, np.float32)}
    moved = descent({"a": np.full(2, 0.5, np.float32)}, model)
    assert moved["a"].tolist() == [-0.5, -0.5] and moved["b"].tolist() == [0, 0, 0]


def test_what_shares_no_noise_or_has_other_sites_is_refused(files: dict[str, Path]) -> None:
    task = _task()
    cases = _cases(files, task)
    with pytest.raises(ConfigError, match=r"expected a job with privacy\.shared_noise"):
        simulate_shared(_task(shared_noise=None), _rounds(1), cases, COMPUTE)
    del cases["hospital-c"]
    with pytest.raises(ConfigError, match="shared by 3 sites, got 2"):
        simulate_shared(task, _rounds(1), cases, COMPUTE)
