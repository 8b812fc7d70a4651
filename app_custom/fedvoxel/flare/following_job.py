"""Follows a run from a job that was interrupted to the one that goes on with it; see `resumption`.

It follows over one session: where the server itself is started again, `ops.job_session.looks` logs in anew.
"""

import time
from collections.abc import Callable

from nvflare.fuel.flare_api.flare_api import Session

from fedvoxel.errors import NoAnswerError
from fedvoxel.flare.messages import RESUMED_AS
from fedvoxel.flare.session import POLL_S, job_meta, wait_for_job

_NOTICED_S = 5.0
"""How soon the server says of a job that died that its run may go on."""

_DIED = ("FINISHED:ABNORMAL", "FINISHED:EXECUTION_EXCEPTION", "FINISHED:FAILED_TO_RUN")


def is_the_last(status: str, resumed_as: str | None, since: float) -> bool:
    """Says whether nothing goes on with a job any more.

    Args:
        status: FLARE's status of it.
        resumed_as: What the server says of the job that goes on with its run; None where it says nothing.
        since: When whoever waits saw first that it has ended, on the monotonic clock.
    """
    if not status.startswith("FINISHED") or resumed_as is not None:
        return False
    return status not in _DIED or time.monotonic() - since > _NOTICED_S


def wait_for_run(session: Session, job_id: str, on_step: Callable[[str], None]) -> tuple[str, str]:
    """Waits until a job, and every job that goes on with its run, has ended.

    Args:
        session: A session of someone who may see the jobs.
        job_id: The first job.
        on_step: Told what is going on.

    Returns:
        The id of the last job, and FLARE's last status of it, which is no outcome.

    Raises:
        NoAnswerError: The server does not answer.
    """
    while True:
        try:
            status = wait_for_job(session, job_id, lambda now, name=job_id: on_step(f"job {name}: {now}"))  # type: ignore[misc]
            following = next_job(session, job_id) if status in _DIED else None
        except NoAnswerError as error:
            raise NoAnswerError(
                f"{error}; where the server was started again, the run goes on: fedvoxel watch {job_id}"
            ) from None
        if following is None:
            return job_id, status
        job_id = following
        on_step(f"its run was interrupted, and goes on as job {job_id}")


def next_job(session: Session, job_id: str, pause_s: float = POLL_S) -> str | None:
    """Returns the job that goes on with the run of one that died; waits for it where it is to come; None without any.

    Raises:
        JobError: The server does not answer.
    """
    since = time.monotonic()
    while True:
        meta = job_meta(session, job_id)
        said = meta.get(RESUMED_AS)
        if said or is_the_last(str(meta["status"]), said, since):
            return str(said) if said else None
        time.sleep(pause_s)
