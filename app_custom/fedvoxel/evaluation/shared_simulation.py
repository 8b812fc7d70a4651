"""Runs a job with shared noise in one process, without FLARE: the same trainers, shares and steps, site after site.

A plain sum of whole numbers stands where the job has secure aggregation, which gives exactly that sum. The models are
those of the job, and its guarantee is not theirs: this process has seen every share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.experiment import SiteCases
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.server_optimizer import ServerOptimizer
from fedvoxel.privacy.noise import Noise
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.privacy.shared_noise import SharedNoise, Steps
from fedvoxel.training.local_steps import Progress
from fedvoxel.training.patient_views import PatientViews
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.training.setup import TrainingTask
from fedvoxel.training.shared_training import SharedTrainer
from fedvoxel.training.site_trainer import use_compute
from fedvoxel.updates.scores import CaseScore
from fedvoxel.updates.update import Arrays
from fedvoxel.volumes.plan import by_patient
from fedvoxel.volumes.site import ComputeConfig


@dataclass(frozen=True)
class SharedRun:
    """Is what a simulated run leaves.

    Attributes:
        model: The last model.
        test: Each site's scores of it on its unseen cases.
    """

    model: dict[str, NDArray[np.float32]]
    test: dict[str, tuple[CaseScore, ...]]


def simulate_shared(
    task: TrainingTask,
    config: RoundsConfig,
    sites: Mapping[str, SiteCases],
    compute: ComputeConfig,
    noise: Noise | None = None,
    progress: Progress | None = None,
) -> SharedRun:
    """Takes one common step a round and scores the last model on every site's unseen cases.

    Args:
        task: What each site is told; its privacy section has `shared_noise`.
        config: What the server is told; of it the number of rounds and the server's optimiser.
        sites: Cases by site, as many sites as share the noise.
        compute: Threads and device to use.
        noise: Other noise than the mechanism's own, for tests.
        progress: Told (rounds done, rounds, None) after every round.

    Raises:
        ConfigError: The job's sites share no noise, or they are others than it says.
    """
    privacy = task.privacy
    if not isinstance(privacy, PatientMechanismConfig) or privacy.shared_noise is None:
        raise ConfigError("expected a job with privacy.shared_noise; for others there is `simulate`")
    if len(sites) != privacy.shared_noise.sites:
        raise ConfigError(f"the noise is shared by {privacy.shared_noise.sites} sites, got {len(sites)}")
    segmenter, mechanism = Segmenter(task.training, task.classes, use_compute(compute)), SharedNoise(privacy, noise)
    trainers = []
    for name, cases in sites.items():
        views = PatientViews(task.training, by_patient(cases.training), name, privacy.views_per_patient)
        trainers.append(SharedTrainer(segmenter, views, mechanism, compute.patients_at_once))
    model, optimizer = segmenter.weights(), ServerOptimizer(config.server_optimizer)
    for index in range(config.num_rounds):
        total = _sum_of([trainer.share(model, index) for trainer in trainers])
        model = optimizer.step(model, descent(mechanism.mean(total), model))
        if progress:
            progress(index + 1, config.num_rounds, None)
    return SharedRun(model, {name: tuple(segmenter.evaluate(model, cases.test)) for name, cases in sites.items()})


def _sum_of(shares: Sequence[Steps]) -> Steps:
    """Stands for secure aggregation."""
    return {name: np.sum([share[name] for share in shares], axis=0) for name in shares[0]}


def descent(gradient: Arrays, model: Arrays) -> dict[str, NDArray[np.float32]]:
    """Returns what the server's optimiser steps along: minus the gradient, zeros where nothing is trained."""
    return {name: -gradient[name] if name in gradient else np.zeros_like(array) for name, array in model.items()}
