"""Trains without a federation, on cases in one place, with the same trainer: what a federated model is judged by.

A site alone is a federation of one, and pooled training is one site that has everybody's cases; both run for as many
rounds as the job plans, so that the number of epochs and the learning-rate schedule are the same.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import CohortError
from fedvoxel.evaluation.baseline import Baseline, BaselineKind, CaseRecord
from fedvoxel.evaluation.trained_job import TrainedJob, check_model_is_whole
from fedvoxel.training.config import TrainingConfig
from fedvoxel.training.local_steps import Progress
from fedvoxel.training.setup import TrainingTask
from fedvoxel.training.site_trainer import use_compute
from fedvoxel.training.trainer import Trainer
from fedvoxel.updates.scores import CaseScore
from fedvoxel.updates.update import Arrays
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.plan import PreparedCase
from fedvoxel.volumes.site import ComputeConfig, load_site_config


@dataclass(frozen=True)
class SiteCases:
    """Holds one site's prepared cases; comparisons validate nothing and need no validation cases."""

    training: tuple[PreparedCase, ...]
    test: tuple[PreparedCase, ...]
    validation: tuple[PreparedCase, ...] = ()


def load_site_cases(site_file: Path, task: TrainingTask) -> SiteCases:
    """Reads a site's cases as a job would.

    Raises:
        CohortError: The cohort is unknown or has no usable case.
        ConfigError: The site's file cannot be read.
    """
    site = load_site_config(site_file)
    training, test, validation = (
        load_cases(site, task.cohort, task.classes, task.plan, split, site_file.parent)[0]
        for split in ("training", "test", "validation")
    )
    return SiteCases(training, test, validation)


def train_together(
    task: TrainingTask,
    cases: Sequence[PreparedCase],
    name: str,
    rounds: int,
    compute: ComputeConfig,
    progress: Progress | None = None,
) -> tuple[Trainer, dict[str, NDArray[np.float32]]]:
    """Trains on `cases` in one place for `rounds` times the job's epochs per round, without what needs a federation.

    Args:
        task: The job's task.
        cases: Training cases of one site or of all.
        name: Seeds the order of samples; a site's own name gives a site's own order.
        rounds: As many as the job plans.
        compute: Threads and device to use.
        progress: Told (rounds done, rounds, mean loss of the round).

    Returns:
        The trainer and its final weights.

    Raises:
        CohortError: There is no training case.
    """
    if not cases:
        raise CohortError("no training case: a site that only evaluates has no model of its own")
    trainer = Trainer(alone(task.training), task.classes, cases, name, use_compute(compute))
    model = trainer.weights()
    for index in range(rounds):
        update = trainer.train_round(model, index, rounds)
        model = trainer.weights()
        if progress:
            progress(index + 1, rounds, float(update.metrics["loss"]))
    return trainer, model


def alone(config: TrainingConfig) -> TrainingConfig:
    """Returns a training section without what is about other sites: nothing to stay near to, nothing to keep back."""
    return config.model_copy(update={"proximal_mu": None, "site_local": None, "personal": None})


def run_baseline(
    kind: BaselineKind,
    job: TrainedJob,
    sites: Mapping[str, SiteCases],
    compute: ComputeConfig,
    progress: Progress | None = None,
) -> Baseline:
    """Trains the comparison model and scores it, and the federated one, on every site's unseen cases.

    Args:
        kind: `local` for the one site in `sites`, `pooled` for all of them together.
        job: The federated job to compare with.
        sites: Cases by site.
        compute: Threads and device to use.
        progress: See `train_together`.

    Raises:
        ConfigError: The job's common model is no whole model, see `check_model_is_whole`.
        CohortError: There is no training case.
    """
    check_model_is_whole(job.task)
    started = time.monotonic()
    name = next(iter(sites)) if kind == "local" else "pooled"
    cases = [case for site in sites.values() for case in site.training]
    trainer, model = train_together(job.task, cases, name, job.rounds, compute, progress)
    seconds = time.monotonic() - started
    return Baseline(
        kind=kind,
        site=name if kind == "local" else None,
        epochs=job.rounds * job.task.training.epochs_per_round,
        seed=job.task.training.seed,
        per_site=_scores(trainer, model, sites),
        federated_per_site=_scores(trainer, job.model, sites),
        seconds=seconds,
    )


def _scores(trainer: Trainer, model: Arrays, sites: Mapping[str, SiteCases]) -> dict[str, tuple[CaseRecord, ...]]:
    return {
        name: tuple(_record(score) for score in trainer.evaluate(model, cases.test, surfaces=True))
        for name, cases in sites.items()
    }


def _record(score: CaseScore) -> CaseRecord:
    return CaseRecord(case=score.case, dice=dict(score.dice), hd95_mm=dict(score.hd95_mm))
