"""The next training of a model under a plan that people have agreed on: the same job, from where the release stands.

Nothing of the job changes but its run key and the run whose model it begins with: any other change is a change of the
plan. What the run makes is a candidate; whether it is released, the gates and people say.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ConfigError
from fedvoxel.export.origin import PROVENANCE, read_model_origin
from fedvoxel.export.publishing import open_release
from fedvoxel.export.releases import Releases
from fedvoxel.export.trust import Trust
from fedvoxel.flare.job_kinds import JobContent, understand, variant
from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.records.names import ModelName

PLAN_FILE, SEEN_FILE = "retraining.json", "seen.json"
"""The plan in its folder, and what its reader remembers of the index."""

Place = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class RetrainingPlan(FrozenModel):
    """Is the content of `retraining.json`; places are relative to its folder, or absolute.

    Attributes:
        model: Name of the model.
        job: Folder of the job.
        kit: Kit of the person who submits.
        releases: The index of releases.
    """

    schema_version: Literal[1] = 1
    model: ModelName
    job: Place
    kit: Place
    releases: Place


@dataclass(frozen=True)
class Retraining:
    """Is the job that comes next.

    Attributes:
        job: What is submitted.
        version: That of the released model with which it begins.
        run_key: Its own.
        start_from: The run that made the released model.
    """

    job: JobContent
    version: str
    run_key: str
    start_from: str


def read_retraining_plan(folder: Path) -> RetrainingPlan:
    """Reads a plan.

    Raises:
        ConfigError: The file is missing, or is none.
    """
    return load_json_config(RetrainingPlan, folder / PLAN_FILE, "the retraining plan")


def next_retraining(folder: Path, plan: RetrainingPlan, trust: Trust, now: datetime) -> Retraining:
    """Returns the job that comes next.

    Args:
        folder: The plan's.
        plan: The plan.
        trust: Whose signatures count.
        now: The present (aware); the minute becomes the end of the run key.

    Raises:
        ConfigError: The job is not valid or cannot begin with a model, or the release is not the last model of its run.
        PackageError: No version is released, or the index or the package cannot be trusted.
        ConsortiumError: The revocation list is out of date.
    """
    releases = Releases(folder / plan.releases, trust, folder / SEEN_FILE, now)
    release = releases.newest(plan.model)
    package = open_release(releases.path_of(release), release, trust, now)
    origin = read_model_origin(package.member(PROVENANCE))
    if not origin.is_last:
        raise ConfigError(
            f"{release.name} {release.version} is not the last model of run {origin.run_key}, and a run begins with "
            "the last one of another: export with --model last, or set start_from in the job and submit it yourself"
        )
    job = understand(read_job_folder(folder / plan.job))
    base = getattr(job.server, "run_key", None)
    if base is None:
        raise ConfigError(f"the job {job.folder.meta.name} has no run key: expected one that trains")
    run_key = f"{base}_{now.astimezone(UTC):%Y%m%dT%H%MZ}"
    made = variant(job, {"run_key": run_key, "start_from": origin.run_key})
    return Retraining(made, release.version, run_key, origin.run_key)
