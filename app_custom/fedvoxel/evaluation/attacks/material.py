"""What an audit works with: a finished job, a hospital's own patients, and the bytes that the hospital really sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.evaluation.experiment import load_site_cases
from fedvoxel.evaluation.job_result import JobResult, open_job_result
from fedvoxel.evaluation.trained_job import TrainedJob, read_trained_job
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.privacy.kept_bytes import KeptBytes
from fedvoxel.privacy.ledger import LEDGER_FILE
from fedvoxel.privacy.spending import spending_of
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.records.chain import Chain
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.training.setup import TrainingTask
from fedvoxel.training.site_trainer import use_compute
from fedvoxel.updates.update import check_layout, layout_of
from fedvoxel.updates.weights_file import from_bytes, load_weights
from fedvoxel.volumes.plan import PreparedCase, by_patient
from fedvoxel.volumes.site import SITE_FILE, load_site_config

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Material:
    """Holds everything that the attacks need.

    Attributes:
        outcome: Of the run.
        job: Its task and the released model.
        site: The hospital's name, that of its kit.
        members: Scans of each training patient, in the order of their pseudonyms.
        others: Scans of each test patient.
        cases: Training scans in the trainer's own order.
        start: The model that the run began with; None where it is not at hand.
        kit: The hospital's kit.
        device: `cpu` or `cuda`.
    """

    outcome: RunOutcome
    job: TrainedJob
    site: str
    members: Sequence[Sequence[PreparedCase]]
    others: Sequence[Sequence[PreparedCase]]
    cases: tuple[PreparedCase, ...]
    start: Weights | None
    kit: Path
    device: str


def gather(result: Path, kit: Path, start: Path | None = None) -> Material:
    """Reads a finished job and a hospital's cases.

    Args:
        result: The folder that download_job made.
        kit: The hospital's kit; its compute limits apply to this process.
        start: The model that the run began with, where its outcome names one.

    Raises:
        FedVoxelError: The result or the kit cannot be used, or the given start model is not the run's.
    """
    opened, home = open_job_result(result), kit.resolve()
    job, site_file = read_trained_job(opened), home / "local" / SITE_FILE
    cases = load_site_cases(site_file, job.task)
    return Material(
        outcome=opened.outcome,
        job=job,
        site=home.name,
        members=by_patient(cases.training),
        others=by_patient(cases.test),
        cases=cases.training,
        start=_start_model(opened, job.task, start),
        kit=home,
        device=use_compute(load_site_config(site_file).compute),
    )


def first_sent(material: Material) -> Weights | None:
    """Returns the noised difference of round 0 as this hospital sent it, from its ledger; None where it sent none.

    Nothing is written: looking at bytes again is no release.

    Raises:
        LedgerError: The ledger cannot be read or trusted.
        UpdateError: The bytes are not an update of the job's network.
    """
    folder = material.kit / "state" / "privacy" / material.job.task.cohort
    run = spending_of(Chain(folder / LEDGER_FILE).read()).runs.get(material.outcome.run_key)
    releases = [release for release in run.releases if release.reserved.round == 0] if run else []
    for release in releases:
        content = KeptBytes(folder).read(release.kept) if release.times_sent else None
        if content is not None:
            update = from_bytes(content)
            check_layout(update, layout_of(material.job.model))
            return update
    return None


def _start_model(result: JobResult, task: TrainingTask, given: Path | None) -> Weights | None:
    """Returns the job's initial weights, drawn from its seed, or those of the earlier run that it began with."""
    named = result.outcome.start_from
    if named is None:
        if given is not None:
            raise ConfigError(
                "a start model is given, but this run began with weights drawn from its seed: leave it out"
            )
        return get_weights(build_network(task.training.network, len(task.classes) + 1, task.training.seed))
    places = [given] if given else sorted(result.workspace.glob("*.npz"))
    for place in places:
        if place.is_file() and sha256_of_file(place) == named.sha256:
            return load_weights(place)
    if given:
        raise UpdateError(
            f"the start model given is not the one that the run began with: expected the last model of run "
            f"{named.run_key}, SHA-256 {named.sha256}"
        )
    return None
