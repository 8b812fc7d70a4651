"""Submits a job and, where asked, waits for its end and reads its outcome: FLARE's status alone is none."""

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nvflare.fuel.flare_api.flare_api import Session

from fedvoxel.federation.attempts import ENDED_WELL
from fedvoxel.federation.outcome import OUTCOME_FILE, load_outcome
from fedvoxel.flare.following_job import wait_for_run
from fedvoxel.flare.job_kinds import understand
from fedvoxel.flare.session import download, submit
from fedvoxel.governance.job_folder import read_job_folder, write_job_folder

_COMPLETED = "FINISHED:COMPLETED"


@dataclass(frozen=True)
class SubmittedJob:
    """Is a submitted job, and how it ended where that is known.

    Attributes:
        job_id: The job; after waiting, the last one that went on with its run.
        status: FLARE's last status; None if nobody waited.
        folder: Where the result was downloaded to.
        outcome: The run's own account of how it ended, or that it has not: see `RunStatus`.
        reason: Why, where the outcome needs one.
        privacy: What the outcome says is guaranteed about privacy.
    """

    job_id: str
    status: str | None = None
    folder: str | None = None
    outcome: str | None = None
    reason: str | None = None
    privacy: str | None = None

    @property
    def failed(self) -> bool:
        """Says whether the job was not done: by its own outcome, or by FLARE's status where it left none."""
        if self.outcome is not None:
            return self.outcome not in ENDED_WELL
        return self.status is not None and self.status != _COMPLETED

    def sentence(self) -> str:
        """Returns a line for people."""
        if self.status is None:
            return f"submitted as {self.job_id}"
        how = self.outcome or f"ended as {self.status}"
        why = f" ({self.reason})" if self.reason else ""
        where = f"; its result is in {self.folder}" if self.folder else ""
        privacy = f"; privacy: {self.privacy}" if self.privacy else ""
        return f"job {self.job_id} {how}{why}{where}{privacy}"

    def as_json(self) -> dict[str, Any]:
        """Returns the job as a JSON-like mapping."""
        return {"schema_version": 1, **asdict(self), "failed": self.failed}


def submit_job(
    session: Session,
    folder: Path,
    wait: bool,
    destination: Path | None,
    on_step: Callable[[str], None],
    token: str | None = None,
) -> SubmittedJob:
    """Submits a job.

    Args:
        session: A session of someone who may submit jobs.
        folder: The job folder; it is left without FLARE's signatures.
        wait: Whether to wait until the job has ended.
        destination: The folder to download the result into, after waiting; None downloads nothing.
        on_step: Told what is going on.
        token: Names this submission, so that it can be repeated; see `fedvoxel.flare.session.submit`.

    Raises:
        ConfigError: The job is not valid.
        JobError: The job is refused, or the server does not answer.
    """
    job = understand(read_job_folder(folder)).folder
    with tempfile.TemporaryDirectory(prefix="fedvoxel-submit-") as scratch:
        # The console signs the folder that it submits in place; a copy keeps the user's folder as it is.
        copy = Path(scratch) / job.meta.name
        write_job_folder(job, copy)
        job_id = submit(session, copy, token)
    if not wait:
        return SubmittedJob(job_id)
    job_id, status = wait_for_run(session, job_id, on_step)
    if destination is None:
        return SubmittedJob(job_id, status)
    result = download(session, job_id, destination)
    path = result / "workspace" / OUTCOME_FILE
    outcome = load_outcome(path) if path.is_file() else None
    ended = (outcome.status, outcome.reason, outcome.privacy) if outcome else (None, None, None)
    return SubmittedJob(job_id, status, str(result), *ended)
