"""Trains and scores one arm, with the trainers, shares and steps of a run over FLARE; without ledger or message."""

import time
from collections.abc import Mapping
from statistics import fmean

from benchmarks.distributed_noise.arms import Arm, rounds_of, task_of
from benchmarks.parts import Values
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.experiment import SiteCases
from fedvoxel.evaluation.shared_simulation import simulate_shared
from fedvoxel.federation.rounds import Rounds
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.training.patient_views import PatientViews
from fedvoxel.training.private_training import PrivateTrainer
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.training.setup import TrainingTask
from fedvoxel.updates.scores import CaseScore
from fedvoxel.volumes.plan import by_patient
from fedvoxel.volumes.site import ComputeConfig

Scores = Mapping[str, tuple[CaseScore, ...]]


def train(arm: Arm, seed: int, rate: float, sites: Mapping[str, SiteCases]) -> Values:
    """Trains one model and returns the mean Dice of its classes, of all tested patients and of each."""
    started, task = time.process_time(), task_of(arm, seed, rate)
    if arm.shared:
        scores = simulate_shared(task, rounds_of(arm, rate), sites, ComputeConfig(threads=1, device="cpu")).test
    else:
        scores = _each_by_itself(task, Rounds(rounds_of(arm, rate), _segmenter(task).weights()), sites)
    dice = {
        site: [fmean(value or 0.0 for value in one.dice.values()) for one in found] for site, found in scores.items()
    }
    mean = fmean(value for values in dice.values() for value in values)
    return {"dice": mean, "by_site": dice, "cpu_s": time.process_time() - started}


def _each_by_itself(task: TrainingTask, rounds: Rounds, sites: Mapping[str, SiteCases]) -> Scores:
    privacy = task.privacy
    if not isinstance(privacy, PatientMechanismConfig):
        raise ConfigError("expected a task that protects each patient")
    trainers = {}
    for name, cases in sites.items():
        views = PatientViews(task.training, by_patient(cases.training), name, privacy.views_per_patient)
        trainers[name] = PrivateTrainer(_segmenter(task), views, PatientMechanism(privacy))
    while not rounds.finished:
        for name, trainer in trainers.items():
            rounds.add(name, trainer.train_round(rounds.model, rounds.round, rounds.config.num_rounds))
        rounds.close_round()
    return {name: tuple(_segmenter(task).evaluate(rounds.model, cases.test)) for name, cases in sites.items()}


def _segmenter(task: TrainingTask) -> Segmenter:
    return Segmenter(task.training, task.classes, "cpu")
