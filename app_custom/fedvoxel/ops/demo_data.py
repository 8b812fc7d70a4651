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
from fedvoxel.privacy.policy import NoBudget, grant, load_privacy_policy
from fedvoxel.records.atomic import write_json
from fedvoxel.volumes.decathlon_download import download_hippocampus
from fedvoxel.volumes.hippocampus import find_hippocampus, hippocampus_cohort, hippocampus_tables
from fedvoxel.volumes.site import SITE_FILE
from fedvoxel.volumes.spinal_cord import spinal_cord_cohorts
from fedvoxel.volumes.synthetic import brain_demo_cohort, make_brain_demo

SPINAL_CORD_FOLDER = "spinal_cord_gm_6sites/bids"

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DemoData:
    """Is what the quickstart trains on.

    Attributes:
        job: Name of the job folder that fits the data.
        consortium_file: Name of the consortium file that fits it.
        cohort: Name of the cohort.
        cohorts: Each hospital's description of that cohort.
    """

    job: str
    consortium_file: str
    cohort: str
    cohorts: Mapping[str, Mapping[str, Any]]


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
    if job not in (None, "hippocampus_fedavg"):
        raise CohortError(
            f"the quickstart has no data for {job!r}; it knows hippocampus_fedavg, spinal_cord_fedavg, brain_demo"
        )
    folder = find_hippocampus(data) if data else None
    if folder is None:
        folder = _download(work, say, progress, required=job is not None)
    return _hippocampus(folder, work) if folder else _brains(work, say, progress)


def describe_cohorts(consortium: Consortium, data: DemoData, threads: int) -> None:
    """Writes each hospital's cohort into its own site file, where hospital IT would write it.

    Demo data may leave without a formal guarantee, unless the kit's privacy policy has decided otherwise before.

    Raises:
        ConfigError: A kit has no site file, or no privacy policy.
    """
    for site, cohort in data.cohorts.items():
        local = consortium.kit(site) / "local"
        path = local / SITE_FILE
        described = read_json(path, "the site's own file")
        described["cohorts"] = described.get("cohorts", {}) | {data.cohort: cohort}
        described["compute"] = {"threads": threads, "device": "auto"}
        write_json(path, described, mode=0o600)
        if data.cohort not in load_privacy_policy(local).cohorts:
            grant(local, data.cohort, NoBudget())


def _hippocampus(folder: Path, work: Path) -> DemoData:
    tables = hippocampus_tables(folder, work / "cohorts")
    cohorts = {site: hippocampus_cohort(table) for site, table in tables.items()}
    return DemoData("hippocampus_fedavg", "consortium.yml", "hippocampus", cohorts)


def _download(work: Path, say: Say, progress: Progress, required: bool) -> Path | None:
    say("no scans given: fetching the Medical Segmentation Decathlon's hippocampus set (27 MB, CC BY-SA 4.0)")
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
    return DemoData("brain_demo", "consortium.yml", "brain_demo", cohorts)


def _spinal_cord(data: Path | None) -> DemoData:
    root = data / SPINAL_CORD_FOLDER if data else None
    if root is None or not root.is_dir():
        raise CohortError(
            f"spinal_cord_fedavg needs --data with a folder {SPINAL_CORD_FOLDER} (the grey matter challenge)"
        )
    return DemoData("spinal_cord_fedavg", "consortium_spinal.yml", "spinal_cord", spinal_cord_cohorts(root.resolve()))
