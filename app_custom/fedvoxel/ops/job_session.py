"""Asks a FLARE server about one job, with the certificate of a person's kit. It only looks: it changes nothing."""

import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedvoxel.errors import ConsortiumError, NoAnswerError
from fedvoxel.flare.following_job import is_the_last
from fedvoxel.flare.messages import RESUME_WAITS, RESUMED_AS, STATS_GROUP
from fedvoxel.flare.session import flare_session, job_meta, server_statistics, site_statistics
from fedvoxel.ops.progress import Progress, SiteStep, parse_progress, parse_step
from fedvoxel.ops.snapshot import LOGGING_IN, Snapshot

RECONNECT_S = 600.0
"""How long after its last answer a server is tried again: its machine may have to start."""

_GONE = ("missing", "not_selected")
"""States of sites that may not be connected."""


class JobSession:
    """Asks one server, over one logged-in session, about jobs."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._begun: set[str] = set()

    def look(self, job_id: str) -> Snapshot:
        """Returns what the server knows of the job now.

        Raises:
            JobError: There is no such job, the user may not see it, or the server does not answer (NoAnswerError).
            ConfigError: The server's account is not one that this version can read.
        """
        meta = job_meta(self._session, job_id)
        status = str(meta.get("status", "unknown"))
        name = str(meta.get("name", ""))
        if status != "RUNNING":
            resumed_as = meta.get(RESUMED_AS)
            snapshot = Snapshot(job_id, name, status, resumed_as=None if resumed_as is None else str(resumed_as))
            if snapshot.finished:
                return replace(snapshot, note=_waits_note(meta) if resumed_as == "" else None)
            return replace(snapshot, note=_schedule_note(meta))
        progress = parse_progress(_group(server_statistics(self._session, job_id)).get("progress"))
        snapshot = Snapshot(job_id, name, status, progress, self._steps(job_id, progress))
        if snapshot.progress is not None:
            self._begun.add(job_id)
        elif job_id in self._begun:
            return replace(snapshot, note="The job reports no progress any more: FLARE is closing it, or it is lost.")
        return snapshot

    def _steps(self, job_id: str, progress: Progress | None) -> dict[str, SiteStep]:
        """Asks the sites how far they are; not those that are known to be gone, which would only be waited for."""
        here = [site for site, state in (progress.sites if progress else {}).items() if state.state not in _GONE]
        told = site_statistics(self._session, job_id, here) if here else {}
        steps = {site: parse_step(_group(values)) for site, values in told.items()}
        return {site: step for site, step in steps.items() if step is not None}


def looks(kit: Path, user: str | None, job_id: str, pause_s: float) -> Generator[Snapshot, None, None]:
    """Yields what the server knows of a job, and of every job that goes on with its run, until the last has ended.

    A server that was started again knows no session of before, so this logs in again, for as long as `RECONNECT_S`.

    Args:
        kit: A person's kit.
        user: The user's name; the one that the kit is for when None.
        job_id: The first job.
        pause_s: Seconds between two looks.

    Raises:
        ConsortiumError: The folder is no person's kit, or the server cannot be reached or refuses the login.
        JobError: There is no such job, the user may not see it, or the server does not answer any more.
        ConfigError: The server's account is not one that this version can read.
    """
    last, until, since = None, 0.0, time.monotonic()
    while True:
        try:
            with open_session(kit, user) as session:
                while True:
                    last, until = session.look(job_id), time.monotonic() + RECONNECT_S
                    over = is_the_last(last.status, last.resumed_as, since)
                    # One that has died is shown when it is known whether its run goes on.
                    if over or not last.finished or last.resumed_as is not None:
                        since = time.monotonic()
                        yield last
                    if over:
                        return
                    job_id = last.resumed_as or job_id
                    time.sleep(pause_s)
        except (NoAnswerError, ConsortiumError) as error:
            if last is None or time.monotonic() > until:
                raise
            yield replace(last, progress=None, steps={}, note=f"{LOGGING_IN}: {error}")
            time.sleep(pause_s)


@contextmanager
def open_session(kit: Path, user: str | None = None) -> Iterator[JobSession]:
    """Logs in with a person's kit, and closes the session whatever happens; see `flare_session`.

    Raises:
        ConsortiumError: The folder is no person's kit, or the server cannot be reached or refuses the login.
    """
    with flare_session(kit, user) as session:
        yield JobSession(session)


def _group(values: Any) -> Mapping[str, Any]:
    found = values.get(STATS_GROUP) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def _waits_note(meta: Mapping[str, Any]) -> str | None:
    waits = meta.get(RESUME_WAITS)
    return str(waits) if waits else None


def _schedule_note(meta: Mapping[str, Any]) -> str | None:
    history = meta.get("schedule_history")
    return str(history[-1]) if isinstance(history, list) and history else None
