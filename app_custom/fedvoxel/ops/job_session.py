"""Asks a FLARE server about one job, with the certificate of an admin kit. It only looks: it changes nothing.

The session is always closed, since a FLARE session that is left open keeps its process alive for ever.
"""

import io
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from nvflare.fuel.flare_api.api_spec import AuthorizationError, InternalError, JobNotFound, JobNotRunning, NoReply
from nvflare.fuel.flare_api.flare_api import new_secure_session

from fedvoxel.config import read_json
from fedvoxel.errors import ConsortiumError, JobError
from fedvoxel.flare.messages import STATS_GROUP
from fedvoxel.ops.progress import parse_progress, parse_step
from fedvoxel.ops.snapshot import Snapshot

LOGIN_TIMEOUT_S = 15.0
COMMAND_TIMEOUT_S = 10.0


class JobSession:
    """Asks one server, over one logged-in session, about jobs."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._begun: set[str] = set()

    def look(self, job_id: str) -> Snapshot:
        """Returns what the server knows of the job now.

        Raises:
            JobError: There is no such job, the user may not see it, or the server does not answer.
            ConfigError: The server's account is not one that this version can read.
        """
        meta = _answer(lambda: self._session.get_job_meta(job_id), job_id)
        status = str(meta.get("status", "unknown"))
        name = str(meta.get("name", ""))
        if status != "RUNNING":
            snapshot = Snapshot(job_id, name, status)
            return snapshot if snapshot.finished else replace(snapshot, note=_schedule_note(meta))
        snapshot = _running(job_id, name, status, self._statistics(job_id))
        if snapshot.progress is not None:
            self._begun.add(job_id)
        elif job_id in self._begun:
            return replace(snapshot, note="The job reports no progress any more: FLARE is closing it, or it is lost.")
        return snapshot

    def _statistics(self, job_id: str) -> Mapping[str, Any]:
        try:
            return dict(_answer(lambda: self._session.show_stats(job_id, "all"), job_id))
        except JobError as error:
            # The job ends, or its process starts, between the two questions: the next look says which.
            if isinstance(error.__cause__, (JobNotRunning, JobNotFound, NoReply, InternalError)):
                return {}
            raise


@contextmanager
def open_session(kit: Path, user: str | None = None) -> Iterator[JobSession]:
    """Logs in with an admin kit, and closes the session whatever happens.

    Args:
        kit: The kit's folder, which holds `startup/`.
        user: The user's name; None takes the one that the kit was made for.

    Raises:
        ConsortiumError: The folder is no admin kit, or the server cannot be reached or refuses the login.
    """
    name = user or kit_user(kit)
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        # What FLARE logs on the way to an error says less than the error.
        logging.getLogger("nvflare").setLevel(logging.CRITICAL)
    try:
        with _quiet():
            session = new_secure_session(
                name, str(kit.resolve()), timeout=LOGIN_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S
            )
    except Exception as error:
        raise ConsortiumError(
            f"cannot log in as {name}: {_one_line(error)}; check that the server is up and that the kit is valid"
        ) from error
    try:
        yield JobSession(session)
    finally:
        _close(session)


def kit_user(kit: Path) -> str:
    """Returns the name of the person that an admin kit was made for.

    Raises:
        ConsortiumError: The folder is no admin kit.
    """
    path = kit / "startup" / "fed_admin.json"
    if not path.is_file():
        raise ConsortiumError(f"{kit} is not an admin kit: expected startup/fed_admin.json in it; give a person's kit")
    content = read_json(path, "the admin kit's startup file")
    admin = content.get("admin") if isinstance(content, dict) else None
    name = admin.get("username") if isinstance(admin, dict) else None
    if not isinstance(name, str) or not name:
        raise ConsortiumError(f"the admin kit {kit.name} names no user: give one with --user")
    return name


def _running(job_id: str, name: str, status: str, statistics: Mapping[str, Any]) -> Snapshot:
    groups = {target: _group(values) for target, values in statistics.items()}
    steps = {site: parse_step(values) for site, values in groups.items() if site != "server"}
    return Snapshot(
        job_id,
        name,
        status,
        parse_progress(groups.get("server", {}).get("progress")),
        {site: step for site, step in steps.items() if step is not None},
    )


def _group(values: Any) -> Mapping[str, Any]:
    found = values.get(STATS_GROUP) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def _schedule_note(meta: Mapping[str, Any]) -> str | None:
    history = meta.get("schedule_history")
    return str(history[-1]) if isinstance(history, list) and history else None


def _answer(ask: Callable[[], Any], job_id: str) -> Mapping[str, Any]:
    try:
        found = ask()
    except JobNotFound as error:
        raise JobError(f"the server knows no job {job_id}: see list_jobs in the admin console") from error
    except AuthorizationError as error:
        raise JobError(f"this user may not look at job {job_id}: use the kit of a person who may") from error
    except Exception as error:
        raise JobError(f"the server does not answer about job {job_id}: {_one_line(error)}") from error
    return found if isinstance(found, dict) else {}


def _close(session: Any) -> None:
    try:
        with _quiet():
            session.close()
    except Exception as error:
        # The server may be gone; the session's own threads end with the process.
        logging.getLogger(__name__).debug("the session did not close cleanly: %s", _one_line(error))


@contextmanager
def _quiet() -> Iterator[None]:
    # FLARE prints to both streams, tracebacks among it, on logging in and out. What matters comes as an exception.
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            yield
    finally:
        logging.getLogger(__name__).debug("FLARE said: %s", said.getvalue())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
