"""Runs one job to its end: submits it as the data scientist, shows it, and brings the result home."""

import time
from collections.abc import Callable
from pathlib import Path

from fedvoxel.errors import JobError
from fedvoxel.flare.session import download, flare_session, submit
from fedvoxel.governance.consortium import Consortium
from fedvoxel.ops.job_session import JobSession
from fedvoxel.ops.snapshot import Snapshot

_LOOK_S = 2.0


def run_job(consortium: Consortium, folder: Path, show: Callable[[Snapshot], None]) -> Path:
    """Submits a job, shows it while it runs, and downloads it.

    Args:
        consortium: A running consortium.
        folder: The job folder.
        show: Receives what is known of the job every two seconds.

    Returns:
        The folder of the downloaded result, in `results/` of the workspace.

    Raises:
        JobError: The job was refused, or ended without an outcome.
    """
    return run_with_kit(consortium.kit(consortium.person("lead")), folder, consortium.workspace / "results", show)


def run_with_kit(kit: Path, folder: Path, out: Path, show: Callable[[Snapshot], None]) -> Path:
    """Does as `run_job` does, as the person whose kit this is.

    Args:
        kit: The kit of somebody who may submit jobs.
        folder: The job folder.
        out: Where the result's folder goes.
        show: Receives what is known of the job every two seconds.

    Raises:
        ConsortiumError: The folder is no person's kit, or the server cannot be reached or refuses the login.
        JobError: The job was refused, or ended without an outcome.
    """
    with flare_session(kit) as session:
        job_id = submit(session, folder)
        watcher = JobSession(session)
        while not (snapshot := watcher.look(job_id)).finished:
            show(snapshot)
            time.sleep(_LOOK_S)
        result = download(session, job_id, out)
    if not (result / "workspace" / "outcome.json").is_file():
        raise JobError(
            f"job {job_id} ended as {snapshot.status} without an outcome; its log is {result}/workspace/log.txt"
        )
    return result
