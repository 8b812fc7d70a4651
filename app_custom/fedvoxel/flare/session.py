"""A logged-in session with a FLARE server, closed whatever happens, and errors that say what to do.

FLARE prints while it connects and answers. That is left out: standard output is for what was asked for, and standard
error for one clear line.
"""

import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from nvflare.fuel.flare_api.api_spec import (
    AuthenticationError,
    AuthorizationError,
    InternalError,
    InvalidJobDefinition,
    JobNotDone,
    JobNotFound,
    JobNotRunning,
    NoReply,
    TargetType,
)
from nvflare.fuel.flare_api.flare_api import Session, new_secure_session

from fedvoxel.errors import ConsortiumError, JobError, NoAnswerError
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.surroundings import check_server

LOGIN_TIMEOUT_S = 15.0
COMMAND_TIMEOUT_S = 30.0
POLL_S = 1.0

OnPoll = Callable[[str], None]
"""Receives FLARE's status of the job at every look."""

logger = logging.getLogger(__name__)


@contextmanager
def flare_session(kit: Path, user: str | None = None) -> Iterator[Session]:
    """Logs in with a person's kit and always closes the session: an open one keeps its process alive for ever.

    Args:
        kit: The kit's folder, with `startup/` in it.
        user: The user's name; the one that the kit's certificate names when None.

    Raises:
        ConsortiumError: The folder is no person's kit, or the server cannot be reached or refuses the login.
    """
    opened = open_kit(kit)
    if opened.kind != "person":
        raise ConsortiumError(
            f"kit {opened.name} is a {opened.kind}'s: log in with a person's kit, the data scientist's"
        )
    # FLARE says "cannot connect" after 15 s, whatever the reason; a handshake tells at once what is wrong.
    reached = check_server(opened)
    if reached.level == "error":
        raise ConsortiumError(f"cannot log in: {reached.message}")
    session = _log_in(user or opened.name, opened.folder, f"{opened.server.host}:{opened.server.port}")
    try:
        yield session
    finally:
        try:
            with _quiet():
                session.close()
        except Exception as error:
            # The server may be gone by now; there is nothing left to close then.
            logger.debug("event=session_not_closed reason=%s", _one_line(error))


def submit(session: Session, folder: Path, token: str | None = None) -> str:
    """Submits a job folder and returns the job's id; under a token that it was submitted by before, that of then.

    Raises:
        JobError: The server refuses it, does not answer, or the token's job was deleted or is another.
    """
    try:
        with _quiet():
            return str(session.submit_job(str(folder.resolve()), submit_token=token))
    except AuthorizationError:
        raise JobError("this user may not submit jobs: use the kit of a person with the role lead") from None
    except InvalidJobDefinition as error:
        raise JobError(f"the server refuses the job: {_one_line(error)}") from None
    except Exception as error:
        raise JobError(f"the job could not be submitted: {_one_line(error)}") from None


def job_meta(session: Session, job_id: str) -> Mapping[str, Any]:
    """Returns what FLARE keeps of a job: `status`, `job_deploy_detail`, `schedule_history` and more.

    Raises:
        JobError: There is no such job, or the user may not see it.
        NoAnswerError: The server does not answer.
    """
    try:
        with _quiet():
            return dict(session.get_job_meta(job_id))
    except JobNotFound:
        raise JobError(f"the server knows no job {job_id}; see list_jobs in the admin console") from None
    except AuthorizationError:
        raise JobError(f"this user may not look at job {job_id}; use the kit of a person who may") from None
    except Exception as error:
        raise NoAnswerError(f"the server does not answer about job {job_id}: {_one_line(error)}") from None


def server_statistics(session: Session, job_id: str) -> Mapping[str, Any]:
    """Returns what a running job's server says of it, by group; nothing where the job does not run.

    Raises:
        JobError: The user may not see it.
        NoAnswerError: The server does not answer.
    """
    try:
        with _quiet():
            found = session.show_stats(job_id, TargetType.SERVER)
    except (JobNotRunning, JobNotFound, NoReply, InternalError):
        # Its process starts or ends just now: the next look at the job says which.
        return {}
    except AuthorizationError:
        raise JobError(f"this user may not see how far job {job_id} is; use the kit of a person who may") from None
    except Exception as error:
        raise NoAnswerError(f"the server does not answer about job {job_id}: {_one_line(error)}") from None
    told = found.get("server") if isinstance(found, dict) else None
    return told if isinstance(told, dict) else {}


def site_statistics(session: Session, job_id: str, sites: Sequence[str]) -> Mapping[str, Any]:
    """Returns what some sites say of a running job, by site; nothing where one of them cannot be reached.

    The server waits for a site that is gone longer than the session waits for the server.
    """
    try:
        with _quiet():
            found = session.show_stats(job_id, TargetType.CLIENT, list(sites))
    except Exception as error:
        logger.debug("event=sites_not_heard reason=%s", _one_line(error))
        return {}
    return found if isinstance(found, dict) else {}


def wait_for_job(session: Session, job_id: str, on_poll: OnPoll | None = None, timeout_s: float | None = None) -> str:
    """Waits until FLARE has ended a job and returns its last status, which is no outcome.

    Args:
        session: A session of someone who may see the job.
        job_id: The job.
        on_poll: Told the status at every look.
        timeout_s: The longest wait in seconds; none when None.

    Raises:
        JobError: The time is over, or the server does not answer.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        status = str(job_meta(session, job_id).get("status", "unknown"))
        if on_poll:
            on_poll(status)
        if status.startswith("FINISHED"):
            return status
        if deadline is not None and time.monotonic() > deadline:
            raise JobError(
                f"job {job_id} is still {status} after {timeout_s:.0f} s; watch it, or abort it in the console"
            )
        time.sleep(POLL_S)


def download(session: Session, job_id: str, destination: Path) -> Path:
    """Downloads a finished job and returns its folder, `<destination>/<job id>`.

    Raises:
        JobError: The folder exists, the job still runs, the user may not download it, or the server does not answer.
    """
    if (destination / job_id).exists():
        raise JobError(f"{destination / job_id} exists already; remove it, or choose another folder")
    try:
        with _quiet():
            return Path(session.download_job_result(job_id, str(destination.resolve())))
    except JobNotDone:
        raise JobError(f"job {job_id} still runs; download it when it has finished") from None
    except AuthorizationError:
        raise JobError(f"this user may not download job {job_id}: only the person who submitted it may") from None
    except Exception as error:
        raise JobError(f"job {job_id} could not be downloaded: {_one_line(error)}") from None


def connected_sites(session: Session) -> tuple[str, ...]:
    """Returns the names of the sites that are connected now.

    Raises:
        JobError: The server does not answer.
    """
    try:
        with _quiet():
            return tuple(sorted(client.name for client in session.get_system_info().client_info))
    except Exception as error:
        raise JobError(f"the server does not say which sites are connected: {_one_line(error)}") from None


def abort(session: Session, job_id: str) -> None:
    """Aborts a job; one that cannot be aborted runs on, and that is logged."""
    _try(session.abort_job, job_id, "aborted")


def delete(session: Session, job_id: str) -> None:
    """Deletes a finished job at the server; one that cannot be deleted stays, and that is logged."""
    _try(session.delete_job, job_id, "deleted")


def _try(command: Callable[[str], Any], job_id: str, done: str) -> None:
    try:
        with _quiet():
            command(job_id)
    except Exception as error:
        logger.warning("event=job_not_%s job=%s reason=%s", done, job_id, _one_line(error))


def _log_in(user: str, kit: Path, address: str) -> Session:
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        # What FLARE logs on the way to an error says less than the error.
        logging.getLogger("nvflare").setLevel(logging.CRITICAL)
    try:
        with _quiet():
            return new_secure_session(user, str(kit), timeout=LOGIN_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
    except (AuthenticationError, AuthorizationError) as error:
        raise ConsortiumError(
            f"the server at {address} refuses {user}: {_one_line(error)}; check the name, and the kit with fedvoxel "
            "site check"
        ) from None
    except Exception as error:
        raise ConsortiumError(
            f"cannot log in at {address} as {user}: {_one_line(error)}; check the kit with fedvoxel site check"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    # Tracebacks are among what FLARE prints, to both streams; what matters comes as an exception.
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            yield
    finally:
        logger.debug("FLARE said: %s", said.getvalue())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
