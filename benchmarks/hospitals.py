"""Sets up the four hospitals of the hippocampus set for a benchmark: kits, cohorts, and a variant of the job.

The kits' own site files describe the cohorts, and everything that is compared reads those files, so that the cases and
splits are the same for all.
"""

import csv
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from fedvoxel.config import parse_config
from fedvoxel.errors import CohortError
from fedvoxel.flare.provisioning import create_consortium
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.job_folder import JobFolder, parse_job, read_job_folder, write_job_folder
from fedvoxel.ops.demo_data import DemoData, describe_cohorts
from fedvoxel.privacy.policy import NoBudget
from fedvoxel.training.setup import TrainingTask
from fedvoxel.volumes.hippocampus import find_hippocampus, hippocampus_cohort, hippocampus_tables
from fedvoxel.volumes.site import SITE_FILE

JOB = ROOT / "jobs" / "hippocampus_fedavg"
PROJECT = ROOT / "provisioning" / "consortium.yml"


@dataclass(frozen=True)
class Hospitals:
    """Is a consortium on this machine with its cohorts, and what it trains.

    Attributes:
        task: The job's task.
        site_files: Each site's own description of its cohort.
    """

    consortium: Consortium
    task: TrainingTask
    site_files: Mapping[str, Path]


def make_hospitals(work: Path, data: Path, port: int, cases: int | None, project: Path = PROJECT) -> Hospitals:
    """Makes kits for one server and four hospitals in `work`, each with its cohort and one thread.

    Args:
        work: The benchmark's own folder.
        data: A folder that holds the hippocampus set.
        port: The server's port.
        cases: At most so many cases per hospital, for a quick trial; None takes all.
        project: Who takes part.

    Raises:
        CohortError: There is no hippocampus set in `data`.
    """
    folder = find_hippocampus(data)
    if folder is None:
        raise CohortError(f"{data} holds no hippocampus set; name a folder that does with --data")
    tables = hippocampus_tables(folder, work / "cohorts")
    for table in tables.values():
        _shorten(table, cases)
    shutil.rmtree(work / "consortium", ignore_errors=True)
    consortium = create_consortium(project, work / "consortium", port)
    cohorts = {site: hippocampus_cohort(table) for site, table in tables.items()}
    decided = {"hippocampus": NoBudget()}
    describe_cohorts(consortium, DemoData((JOB.name,), "consortium.yml", {"hippocampus": cohorts}, decided), threads=1)
    files = {site: consortium.kit(site) / "local" / SITE_FILE for site in consortium.sites}
    return Hospitals(consortium, task_of(read_job_folder(JOB)), files)


def write_variant(destination: Path, rounds: int, run_key: str) -> Path:
    """Writes the hippocampus job for `rounds` rounds under a run key of its own, in place of what was there."""
    job = read_job_folder(JOB)
    documents: dict[str, Any] = dict(job.documents)
    for component in (
        documents[job.server_document]["workflows"][0],
        documents[job.client_document]["executors"][0]["executor"],
    ):
        component["args"]["run_key"] = run_key
    documents[job.server_document]["workflows"][0]["args"]["rounds"]["num_rounds"] = rounds
    shutil.rmtree(destination, ignore_errors=True)
    write_job_folder(parse_job(documents), destination)
    return destination


def keep_home_inside(work: Path) -> None:
    """Points this process and its children at a home and a temporary folder in `work`: FLARE writes to both."""
    for variable, name in (("HOME", "home"), ("TMPDIR", "tmp")):
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[variable] = str(folder)


def task_of(job: JobFolder) -> TrainingTask:
    """Returns what a training job asks of a site."""
    arguments = {key: value for key, value in job.executor.executor.args.items() if key != "run_key"}
    return parse_config(TrainingTask, arguments, "the job's task")


def _shorten(table: Path, cases: int | None) -> None:
    with table.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    with table.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows[:cases]])
