"""Chooses the data of the quickstart: the scans that are there, the public set, or brains made on the spot.

Only descriptions are written into the hospitals' kits; scans stay where they are.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.config import read_json
from fedvoxel.errors import CohortError, DownloadError
from fedvoxel.governance.consortium import Consortium
from fedvoxel.privacy.in_sums import InSums
from fedvoxel.privacy.policy import CohortBudget, CohortEntry, NoBudget, PublicCohort, grant, load_privacy_policy
from fedvoxel.records.atomic import write_json
from fedvoxel.volumes.decathlon_download import download_hippocampus
from fedvoxel.volumes.hippocampus import (
    HOSPITALS,
    declare_public,
    find_hippocampus,
    hippocampus_cohort,
    hippocampus_tables,
)
from fedvoxel.volumes.site import SITE_FILE
from fedvoxel.volumes.spinal_cord import spinal_cord_cohorts
from fedvoxel.volumes.synthetic import brain_demo_cohort, make_brain_demo

SPINAL_CORD_FOLDER = "spinal_cord_gm_6sites/bids"

PUBLIC_CASES = 1
"""Cases of each hospital that the demo declares public."""

PROTECTED_JOBS: Mapping[str, CohortEntry] = {
    "hippocampus_dp_patient": CohortBudget(unit="patient", epsilon=8.0, delta=0.002),
    "hippocampus_dp_shared": CohortBudget(
        unit="patient", epsilon=8.0, delta=0.002, in_sums=InSums(least_sites=3, partners=HOSPITALS)
    ),
    "hippocampus_dp_central": CohortBudget(unit="hospital", epsilon=8.0, delta=0.002),
}
"""Jobs that protect somebody, and what each of the demo's hospitals grants for the one run."""

OPEN_JOBS = ("hippocampus_fedavg", "hippocampus_secure")
"""Jobs on the hippocampus set whose updates carry no noise."""

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DemoData:
    """Is what the quickstart trains on.

    Attributes:
        jobs: Names of the job folders, in the order in which they run; the last one's result is reported.
        consortium_file: Name of the consortium file that fits them.
        cohorts: Each hospital's description of each cohort: by cohort, then by hospital.
        decisions: What each hospital decides about each cohort.
    """

    jobs: tuple[str, ...]
    consortium_file: str
    cohorts: Mapping[str, Mapping[str, Mapping[str, Any]]]
    decisions: Mapping[str, CohortEntry]

    @property
    def job(self) -> str:
        """Is the job whose result is reported."""
        return self.jobs[-1]

    @property
    def protected(self) -> bool:
        """Says whether that job protects somebody, so that it sends no scores."""
        return self.job in PROTECTED_JOBS

    @property
    def hospitals(self) -> tuple[str, ...]:
        """Are the hospitals that describe a cohort."""
        return tuple(sorted({hospital for described in self.cohorts.values() for hospital in described}))


def choose_data(job: str | None, data: Path | None, work: Path, say: Say, progress: Progress) -> DemoData:
    """Returns the data for `job`, or for the best job that the data at hand allow.

    Args:
        job: A job's name, or None to choose: the hippocampus where its scans can be had, else simulated brains.
        data: Folder of scans, or None.
        work: Where downloads, tables and simulated brains go.
        say: Told in a sentence what is chosen and why.
        progress: Told (done, total) of a download or of the making of brains.

    Raises:
        CohortError: The scans that `job` needs are not there.
    """
    if job == "spinal_cord_fedavg":
        return _spinal_cord(data)
    if job == "brain_demo":
        return _brains(work, say, progress)
    if job not in (None, *OPEN_JOBS, *PROTECTED_JOBS):
        known = ", ".join((*OPEN_JOBS, *PROTECTED_JOBS, "spinal_cord_fedavg", "brain_demo"))
        raise CohortError(f"the quickstart has no data for {job!r}; it knows {known}")
    folder = find_hippocampus(data) if data else None
    if folder is None:
        say(f"{data} holds no hippocampus scans" if data else "no scans given")
        folder = _download(work, say, progress, required=job is not None)
    if folder is None:
        return _brains(work, say, progress)
    if job and job in PROTECTED_JOBS:
        return protected_hippocampus(folder, work, job)
    return _hippocampus(folder, work, job or OPEN_JOBS[0])


def describe_cohorts(consortium: Consortium, data: DemoData, threads: int) -> None:
    """Writes each hospital's cohorts into its own site file, where hospital IT would write them.

    A kit's privacy policy gets the demo's decisions, unless it has decided otherwise before.

    Raises:
        ConfigError: A kit has no site file, or no privacy policy.
    """
    for site in data.hospitals:
        local = consortium.kit(site) / "local"
        path = local / SITE_FILE
        described = read_json(path, "the site's own file")
        cohorts = {name: by_site[site] for name, by_site in data.cohorts.items() if site in by_site}
        described["cohorts"] = described.get("cohorts", {}) | cohorts
        described["compute"] = {"threads": threads, "device": "auto"}
        write_json(path, described, mode=0o600)
        for name in cohorts.keys() - load_privacy_policy(local).cohorts.keys():
            grant(local, name, data.decisions[name])


def protected_hippocampus(folder: Path, work: Path, job: str) -> DemoData:
    """Returns the data of a job that protects somebody: a public cohort of a few cases to begin with, and the others.

    Args:
        folder: The hippocampus set.
        work: Where the tables go.
        job: One of `PROTECTED_JOBS`.
    """
    tables = hippocampus_tables(folder, work / "cohorts")
    public = declare_public(tables, PUBLIC_CASES)
    cohorts = {
        # Nobody is validated on: scores would leave without a guarantee, and every patient counts.
        "hippocampus": {site: hippocampus_cohort(table, validation=0.0) for site, table in tables.items()},
        "hippocampus_public": {site: hippocampus_cohort(table, 0.0, 0.0) for site, table in public.items()},
    }
    decisions = {"hippocampus": PROTECTED_JOBS[job], "hippocampus_public": PublicCohort()}
    return DemoData(("hippocampus_public", job), "consortium.yml", cohorts, decisions)


def _hippocampus(folder: Path, work: Path, job: str) -> DemoData:
    tables = hippocampus_tables(folder, work / "cohorts")
    cohorts = {site: hippocampus_cohort(table) for site, table in tables.items()}
    return _unprotected(job, "consortium.yml", "hippocampus", cohorts)


def _download(work: Path, say: Say, progress: Progress, required: bool) -> Path | None:
    say("fetching the Medical Segmentation Decathlon's hippocampus set (27 MB, CC BY-SA 4.0)")
    try:
        return download_hippocampus(work / "downloads", progress)
    except DownloadError as error:
        if required:
            raise
        say(f"{error}; going on without it")
        return None


def _brains(work: Path, say: Say, progress: Progress) -> DemoData:
    say("making simulated brains from the ICBM152 template for four hospitals; this is not patient data")
    tables = make_brain_demo(work / "brains", progress=progress)
    cohorts = {site: brain_demo_cohort(table) for site, table in tables.items()}
    return _unprotected("brain_demo", "consortium.yml", "brain_demo", cohorts)


def _spinal_cord(data: Path | None) -> DemoData:
    root = data / SPINAL_CORD_FOLDER if data else None
    if root is None or not root.is_dir():
        raise CohortError(
            f"spinal_cord_fedavg needs --data with a folder {SPINAL_CORD_FOLDER} (the grey matter challenge)"
        )
    cohorts = spinal_cord_cohorts(root.resolve())
    return _unprotected("spinal_cord_fedavg", "consortium_spinal.yml", "spinal_cord", cohorts)


def _unprotected(job: str, consortium_file: str, cohort: str, by_site: Mapping[str, Mapping[str, Any]]) -> DemoData:
    return DemoData((job,), consortium_file, {cohort: by_site}, {cohort: NoBudget()})
