"""Runs a job's rounds in one process: the trainers and rounds are those of FLARE's runs, without ledger or message."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.flare.job_args import FedAvgArgs, SiteArgs
from fedvoxel.flare.job_kinds import understand, variant
from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.ops.demo_data import protected_hippocampus
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.training.patient_views import PatientViews
from fedvoxel.training.private_training import PrivateTrainer
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.training.trainer import Trainer
from fedvoxel.updates.scores import CaseScore
from fedvoxel.updates.update import Arrays
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.plan import PreparedCase, by_patient
from fedvoxel.volumes.site import SiteConfig
from fedvoxel.volumes.split import Split

PUBLIC, PROTECTED = "hippocampus_public", "hippocampus_dp_patient"
_NO_SECRET = "0" * 64
"""The key of the pseudonyms: the set is public, and they are the same in every run."""


@dataclass(frozen=True)
class Job:
    """Is one of the two jobs with some values changed.

    Attributes:
        args: What sites are told.
        rounds: What the server is told.
    """

    args: SiteArgs
    rounds: RoundsConfig

    @property
    def privacy(self) -> PatientMechanismConfig:
        """Is the section of a job that protects each patient.

        Raises:
            ConfigError: It does not.
        """
        if not isinstance(self.args.privacy, PatientMechanismConfig):
            raise ConfigError("expected a job that protects each patient")
        return self.args.privacy


def read_job(name: str, changes: Mapping[str, Any]) -> Job:
    """Reads a job under jobs/ and changes values by dotted key."""
    content = variant(understand(read_job_folder(ROOT / "jobs" / name)), changes)
    if not isinstance(content.client, SiteArgs) or not isinstance(content.server, FedAvgArgs):
        raise ConfigError(f"jobs/{name}: expected a job that trains, got {content.kind.controller}")
    return Job(content.client, content.server.rounds)


def hospitals(data: Path, work: Path) -> dict[str, SiteConfig]:
    """Returns what each hospital describes: the protected cohort and the public one."""
    demo = protected_hippocampus(data, work, PROTECTED)
    described = {
        site: {name: by_site[site] for name, by_site in demo.cohorts.items() if site in by_site}
        for site in demo.hospitals
    }
    return {
        site: parse_config(
            SiteConfig, {"schema_version": 1, "pseudonym_key": _NO_SECRET, "cohorts": cohorts}, "a benchmark's site"
        )
        for site, cohorts in described.items()
    }


def cases_of(sites: Mapping[str, SiteConfig], job: Job, split: Split) -> dict[str, tuple[PreparedCase, ...]]:
    """Returns each hospital's prepared cases of one split."""
    args = job.args
    return {
        name: load_cases(site, args.cohort, args.classes, args.plan, split, Path())[0] for name, site in sites.items()
    }


def federate(job: Job, sites: Mapping[str, SiteConfig], start: Arrays | None) -> Arrays:
    """Trains the job's rounds from `start`, or from its seed, and returns the last model."""
    training = cases_of(sites, job, "training")
    trainers = {name: _trainer(job, name, cases) for name, cases in training.items()}
    initial = next(iter(trainers.values())).weights()
    state = Rounds(job.rounds, initial if start is None else start)
    while not state.finished:
        for name, trainer in trainers.items():
            state.add(name, trainer.train_round(state.model, state.round, job.rounds.num_rounds))
        state.close_round()
    return state.model


def score(job: Job, sites: Mapping[str, SiteConfig], model: Arrays) -> dict[str, list[CaseScore]]:
    """Scores a model on every hospital's test patients of the job's cohort."""
    segmenter = Segmenter(job.args.training, job.args.classes, "cpu")
    return {name: segmenter.evaluate(model, cases) for name, cases in cases_of(sites, job, "test").items()}


def _trainer(job: Job, site: str, cases: tuple[PreparedCase, ...]) -> Trainer | PrivateTrainer:
    args, privacy = job.args, job.args.privacy
    if not isinstance(privacy, PatientMechanismConfig):
        return Trainer(args.training, args.classes, cases, site, "cpu")
    mechanism, patients = PatientMechanism(privacy), by_patient(cases)
    mechanism.check_cohort(len(patients))
    views = PatientViews(args.training, patients, site, privacy.views_per_patient)
    return PrivateTrainer(Segmenter(args.training, args.classes, "cpu"), views, mechanism)
