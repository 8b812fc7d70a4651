"""Runs several jobs with several seeds over the same hospitals, keeping each finished run, and compares them."""

import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.comparison.ground import check_same_ground
from fedvoxel.evaluation.comparison.parts import Parts, Values
from fedvoxel.evaluation.comparison.result import Comparison
from fedvoxel.evaluation.comparison.table import compare_jobs
from fedvoxel.evaluation.comparison.trial import Trial, cases_as_json, cases_from_json, check_finished, read_cases
from fedvoxel.evaluation.job_result import open_job_result
from fedvoxel.flare.job_args import FedAvgArgs, SiteArgs
from fedvoxel.flare.job_kinds import JobContent, understand, variant
from fedvoxel.governance.job_folder import read_job_folder, write_job_folder
from fedvoxel.ops.demo_run import run_with_kit
from fedvoxel.ops.reference_models import ReferenceModels, describe
from fedvoxel.ops.snapshot import Snapshot
from fedvoxel.records.canonical import sha256_of
from fedvoxel.training.setup import TrainingTask

Show = Callable[[Snapshot], None]

_KEY_BEGINS, _KEY_DIGITS = 40, 8
"""How much of a job's own run key, and how many digits after it, name a run; keys have 80 characters at most."""


@dataclass(frozen=True)
class ExperimentJob:
    """Is one of the jobs, understood.

    Attributes:
        task: What it asks of a hospital.
        rounds: How many it plans.
    """

    content: JobContent
    task: TrainingTask
    rounds: int

    @property
    def name(self) -> str:
        """Is the job's name."""
        return self.content.folder.meta.name

    def with_seed(self, seed: int) -> JobContent:
        """Returns the job with another seed, under a run key that no job with other content has."""
        seeded = variant(self.content, {"training.seed": seed})
        digest = sha256_of(_documents(seeded))[:_KEY_DIGITS]
        return variant(seeded, {"run_key": f"{self._run_key[:_KEY_BEGINS]}_seed{seed}_{digest}"})

    def to_submit(self, seed: int) -> JobContent:
        """Returns the job with another seed as it can be run now.

        With secure aggregation every start has a key of its own: a hospital goes into one sum of each round of a run,
        so that a run that has ended cannot be run anew under its key, here or from another experiment's folder.
        """
        seeded = self.with_seed(seed)
        if not isinstance(seeded.server, FedAvgArgs) or seeded.server.rounds.secure_aggregation is None:
            return seeded
        return variant(seeded, {"run_key": f"{seeded.server.run_key}_{secrets.token_hex(_KEY_DIGITS // 2)}"})

    @property
    def _run_key(self) -> str:
        return str(self.content.folder.executor.executor.args["run_key"])


def read_jobs(folders: Sequence[Path]) -> list[ExperimentJob]:
    """Reads the jobs and checks that they can be compared.

    Raises:
        ConfigError: A job cannot be used, trains nothing, protects somebody or has the name of another; or jobs differ
            in what they train on.
    """
    jobs = [_read_job(folder) for folder in folders]
    names = [job.name for job in jobs]
    if len(set(names)) != len(names):
        raise ConfigError(f"expected jobs with names of their own, got {', '.join(names)}; see name in meta.json")
    check_same_ground({job.name: job.task for job in jobs})
    return jobs


class Experiment:
    """Holds the jobs, the seeds, the hospitals at hand, and the folder that finished runs are kept in."""

    def __init__(
        self, jobs: Sequence[ExperimentJob], seeds: Sequence[int], kits: Mapping[str, Path], out: Path
    ) -> None:
        """Takes what is to be compared.

        Args:
            jobs: At least one.
            seeds: At least one, each once.
            kits: The kits of those hospitals that lie on this machine, by name; may be empty.
            out: The experiment's folder.
        """
        self.jobs, self.seeds, self.kits, self.out = list(jobs), list(seeds), dict(kits), out
        self._parts = Parts(out / "parts")

    @property
    def missing(self) -> list[tuple[ExperimentJob, int]]:
        """Are the runs that are still to be done, seed by seed."""
        wanted = [(job, seed) for seed in self.seeds for job in self.jobs]
        return [(job, seed) for job, seed in wanted if self._kept(job, seed) is None]

    def run(self, job: ExperimentJob, seed: int, person: Path, show: Show) -> None:
        """Runs one job with one seed to its end and keeps it.

        Args:
            job: One of the jobs.
            seed: One of the seeds.
            person: The kit of somebody who may submit jobs.
            show: Receives what is known of the job every two seconds.

        Raises:
            JobError: The run was refused or failed; nothing is kept of it.
            ConsortiumError: The server cannot be reached.
        """
        folder = self.out / "jobs" / f"{job.name}_seed{seed}"
        shutil.rmtree(folder, ignore_errors=True)
        write_job_folder(job.to_submit(seed).folder, folder)

        def finish() -> Values:
            result = run_with_kit(person, folder, self.out / "results", show)
            outcome = open_job_result(result).outcome
            check_finished(job.name, seed, outcome)
            return {"result": result.name, "cases": cases_as_json(read_cases(outcome, self.kits))}

        self._parts.run(_name(job, seed), self._configuration(job, seed), finish)

    @property
    def references(self) -> ReferenceModels:
        """Are the models to compare with, of the first job's network and optimiser."""
        first = self.jobs[0]
        return ReferenceModels(self._parts, first.task, first.rounds, self.seeds, self.kits)

    def compare(self) -> Comparison:
        """Compares all runs with each other, and with those models of `references` that are finished.

        Raises:
            ConfigError: A run is missing, or runs were not scored on the same cases.
        """
        task = self.jobs[0].task
        trials = [self._trial(job, seed) for job in self.jobs for seed in self.seeds]
        return compare_jobs(task.cohort, task.classes, trials, self.references.found())

    def _trial(self, job: ExperimentJob, seed: int) -> Trial:
        kept = self._kept(job, seed)
        if kept is None:
            raise ConfigError(f"{job.name} (seed {seed}) was not run yet")
        outcome = open_job_result(self.out / "results" / kept["result"]).outcome
        return Trial(job.name, seed, outcome, cases_from_json(kept["cases"]))

    def _kept(self, job: ExperimentJob, seed: int) -> Values | None:
        kept = self._parts.get(_name(job, seed), self._configuration(job, seed))
        # A result that somebody has removed is missing, whatever its part says.
        return kept if kept and (self.out / "results" / kept["result"]).is_dir() else None

    def _configuration(self, job: ExperimentJob, seed: int) -> dict[str, Any]:
        return {"job": _documents(job.with_seed(seed)), "cohorts": describe(self.kits, job.task.cohort)}


def _read_job(folder: Path) -> ExperimentJob:
    content = understand(read_job_folder(folder))
    client, server = content.client, content.server
    if not isinstance(client, SiteArgs) or not isinstance(server, FedAvgArgs):
        raise ConfigError(f"{content.folder.meta.name} trains nothing: expected a job with the FedAvgController")
    return ExperimentJob(content, client, server.rounds.num_rounds)


def _documents(content: JobContent) -> dict[str, Any]:
    return {name: dict(value) for name, value in content.folder.documents.items()}


def _name(job: ExperimentJob, seed: int) -> str:
    return f"{job.name}_seed{seed}"
