"""All that a server's files say of runs, sites and incidents; what cannot be read is named, and never made up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from fedvoxel.errors import FedVoxelError
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare.kept_view import VIEW_FILE, read_view
from fedvoxel.governance.incidents.incident import Incident
from fedvoxel.governance.incidents.incident_log import IncidentLog
from fedvoxel.governance.incidents.kept_out import kept_out
from fedvoxel.governance.incidents.switches import is_halted
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.sites_heard import HeardSite, read_sites_heard
from fedvoxel.ops.progress import Progress, parse_progress
from fedvoxel.ops.status.received import ReceivedOfRun, received_by_run

MOST_RUNS = 20
"""So many runs, those that changed last, are told of."""

LIVE = timedelta(seconds=60)
"""A view that was written longer ago is of a process that is gone: one that lives writes it every 15 seconds."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class RunFacts:
    """Is what is known of one run.

    Attributes:
        run_key: Names it.
        outcome: Its record; None before the first round of a run that has none yet.
        progress: What its job's process shows at the moment; None where no process does.
        received: What the server's ledger has of it.
    """

    run_key: str
    outcome: RunOutcome | None
    progress: Progress | None = None
    received: ReceivedOfRun = field(default_factory=ReceivedOfRun)

    @property
    def is_over(self) -> bool:
        """Says whether it has ended, well or badly."""
        return self.outcome is not None and self.outcome.status != "unfinished"

    @property
    def sites(self) -> tuple[str, ...]:
        """Are its sites."""
        shown = self.progress.sites if self.progress else ()
        return tuple(sorted({*(self.outcome.sites if self.outcome else ()), *shown}))


@dataclass(frozen=True)
class Facts:
    """Is what a server's files say at one moment.

    Attributes:
        consortium: Its name.
        at: When they were read (aware).
        halted: Whether all jobs are stopped; None where that could not be read.
        heard: The sites that the server has heard of.
        kept_out: The sites that may be in no round, each with the reason.
        runs: The runs that changed last, newest first.
        incidents: All incidents, oldest first.
        problems: What could not be read, and is missing here: words without a site, a run or a file.
    """

    consortium: str
    at: datetime
    halted: bool | None
    heard: Mapping[str, HeardSite]
    kept_out: Mapping[str, str]
    runs: tuple[RunFacts, ...]
    incidents: tuple[Incident, ...]
    problems: tuple[str, ...]


def collect(kit: Kit, now: datetime) -> Facts:
    """Reads a server's kit.

    Args:
        kit: The server's.
        now: The present (aware).
    """
    problems: list[str] = []
    read = partial(_carefully, problems)
    none: dict[str, ReceivedOfRun] = {}
    received = _carefully(problems, "the privacy ledger", partial(received_by_run, kit.state), none)
    return Facts(
        consortium=kit.project,
        at=now,
        halted=read("whether all jobs are stopped", partial(is_halted, kit.state), None),
        heard=read("which sites are online", lambda: read_sites_heard(kit.state).sites, {}),
        kept_out=read("which sites are kept out", partial(kept_out, kit.state), {}),
        runs=_runs(kit.state / "runs", now, received, read),
        incidents=read("the incidents", lambda: IncidentLog(kit).read(now), ()),
        problems=tuple(dict.fromkeys(problems)),
    )


def _carefully(problems: list[str], what: str, read: Callable[[], _T], otherwise: _T) -> _T:
    """Returns what is read; notes what cannot be, without the reason, which may name a file or a site."""
    try:
        return read()
    except (FedVoxelError, OSError, ValueError):
        problems.append(what)
        return otherwise


def _runs(
    folder: Path, now: datetime, received: Mapping[str, ReceivedOfRun], read: Callable[..., RunFacts | None]
) -> tuple[RunFacts, ...]:
    changed: dict[Path, float] = {}
    for name in (OUTCOME_FILE, VIEW_FILE):
        for path in folder.glob(f"*/{name}"):
            if path.is_file():
                changed[path.parent] = max(changed.get(path.parent, 0.0), path.stat().st_mtime)
    newest = sorted(changed, key=lambda one: changed[one], reverse=True)[:MOST_RUNS]
    found = [read("one of the runs", partial(_run, one, now, received.get(one.name)), None) for one in newest]
    return tuple(one for one in found if one is not None)


def _run(folder: Path, now: datetime, received: ReceivedOfRun | None) -> RunFacts | None:
    view = read_view(folder)
    outcome = _outcome(folder / OUTCOME_FILE)
    live = view if view and now - view.at <= LIVE else None
    if live and outcome and live.job_id not in _jobs(outcome):
        outcome = None  # of another run that had the same key before
    if live and outcome and outcome.status != "unfinished":
        live = None
    if live is None and outcome is None:
        return None  # a process that has ended before its first round; its job's own result says why
    progress = parse_progress(live.view) if live else None
    return RunFacts(folder.name, outcome, progress, received or ReceivedOfRun())


def _outcome(path: Path) -> RunOutcome | None:
    if not path.is_file():
        return None
    file = path.stat()
    return _loaded(path, (file.st_mtime_ns, file.st_size))


@lru_cache(maxsize=2 * MOST_RUNS)
def _loaded(path: Path, _: tuple[int, int]) -> RunOutcome:
    """Loads a record, which may be long, only if it has changed."""
    return load_outcome(path)


def _jobs(outcome: RunOutcome) -> set[str]:
    return {outcome.job_id, *(attempt.job_id for attempt in outcome.attempts)}
