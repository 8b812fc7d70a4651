"""Reads a run's record where it lies, and says what a tracker is told of it.

The words of the job are taken from its configuration where that lies with the record: at the server while the job runs,
and in a downloaded job. They are what the data scientist wrote; a hospital's own settings are never in them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel import __version__
from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError, JobError
from fedvoxel.evaluation.job_result import open_job_result
from fedvoxel.federation.lineage import Runs
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.federation.run_figures import end_figures, part, round_figures
from fedvoxel.governance.job_folder import CLIENT_FILE, SERVER_FILE
from fedvoxel.ops.trackers.content import Content, Point, TrackedRun
from fedvoxel.records.names import RUN_KEY

_CONFIG = "app_server/config"
_RUNS = "state/runs"
_LONGEST_WORD = 500
"""Characters of a parameter's value; MLflow of before version 2 takes no more."""


@dataclass(frozen=True)
class Record:
    """Is where a run's record lies.

    Attributes:
        outcome: The file.
        configs: Folders where the job's configuration may lie; the first that has a file of it counts.
    """

    outcome: Path
    configs: tuple[Path, ...]

    def read(self, files: dict[str, bytes] | None = None, tags: dict[str, str] | None = None) -> TrackedRun:
        """Returns what a tracker is told of the run as it stands.

        Args:
            files: Further files.
            tags: Further tags.

        Raises:
            ConfigError: The outcome is missing or damaged.
        """
        outcome = load_outcome(self.outcome)
        first = outcome.attempts[0].started if outcome.attempts else outcome.started
        said = f"{outcome.run_key} {first.isoformat()}"
        content = Content(
            params=_params(outcome) | dict(self._job_words()),
            tags=_tags(outcome) | (tags or {}),
            points=tuple(_points(outcome)),
            files={OUTCOME_FILE: self._bytes()} | (files or {}),
        )
        identity = hashlib.sha256(said.encode()).hexdigest()[:16]
        return TrackedRun(outcome.run_key, identity, outcome.job_name, outcome.status, content)

    def _bytes(self) -> bytes:
        try:
            return self.outcome.read_bytes()
        except OSError as error:
            raise ConfigError(f"the run's outcome cannot be read: {error.strerror or type(error).__name__}") from None

    def _job_words(self) -> Iterator[tuple[str, str]]:
        for name in (SERVER_FILE, CLIENT_FILE):
            found = next((folder / name for folder in self.configs if (folder / name).is_file()), None)
            if found:
                for arguments in _arguments(read_json(found, f"the job's {name}")):
                    yield from _flat("job", arguments)


class RecordReader:
    """Reads a record again only where its file has changed: a long run's is large, and looked at every few seconds."""

    def __init__(self, record: Record, files: dict[str, bytes], tags: dict[str, str]) -> None:
        """Reads nothing yet; for the arguments see `Record.read`."""
        self._record, self._beside = record, (files, tags)
        self._seen: tuple[int, ...] = ()
        self._run: TrackedRun | None = None

    def __call__(self) -> TrackedRun:
        """Returns the run as it stands; raises as `Record.read` does."""
        # Looked at before it is read: what changes meanwhile is read the next time.
        seen = self._now()
        if self._run is None or not seen or seen != self._seen:
            self._run = self._record.read(*self._beside)
            self._seen = seen
        return self._run

    def _now(self) -> tuple[int, ...]:
        try:
            status = self._record.outcome.stat()
        except OSError:
            return ()
        return status.st_mtime_ns, status.st_size, status.st_ino


def find_record(run: str, server: Path | None = None) -> Record:
    """Finds a run's record.

    Args:
        run: The folder of a downloaded job, or an outcome.json; with `server`, a run's key or a job's id.
        server: The server's kit, on the server's machine.

    Raises:
        JobError: There is none.
        ConfigError: The outcome of a downloaded job is damaged.
    """
    if server is not None:
        return _at_server(run, server)
    path = Path(run)
    outcome = path if path.is_file() else open_job_result(path).workspace / OUTCOME_FILE
    return Record(outcome, (outcome.parent / _CONFIG,))


def _at_server(run: str, server: Path) -> Record:
    runs = Runs(server / _RUNS)
    key = run if run in runs.keys else _run_of(run, runs)
    if key is None:
        known = ", ".join(runs.keys) or "none"
        raise JobError(
            f"the server has no run or job {run!r} in {_RUNS} (it has {known}); a run has a record when its first "
            "round begins"
        )
    outcome = runs.outcome(key)
    jobs = (outcome.job_id, *(attempt.job_id for attempt in outcome.attempts))
    return Record(runs.folder / key / OUTCOME_FILE, tuple(server / job / _CONFIG for job in jobs))


def _run_of(job: str, runs: Runs) -> str | None:
    if not RUN_KEY.fullmatch(job):
        return None
    for key in runs.keys:
        outcome = runs.outcome(key)
        if job in (outcome.job_id, *(attempt.job_id for attempt in outcome.attempts)):
            return key
    return None


def _params(outcome: RunOutcome) -> dict[str, str]:
    return {
        "run_key": outcome.run_key,
        "job_name": outcome.job_name,
        "rounds_planned": str(outcome.rounds_planned),
        "sites": _short(", ".join(outcome.sites)),
        "start_from": _short(outcome.start_from.words if outcome.start_from else "the job's seed"),
    }


def _tags(outcome: RunOutcome) -> dict[str, str]:
    versions = {f"version_{name}": version for name, version in sorted(outcome.versions.items())}
    return {
        "run_key": outcome.run_key,
        "job_id": outcome.job_id,
        "status": outcome.status,
        "rounds_committed": str(outcome.rounds_committed),
        "attempts": str(max(len(outcome.attempts), 1)),
        # The whole claim: an epsilon says nothing without unit, delta, relation, accountant and adversary.
        "privacy": outcome.privacy,
        "tracked_by": f"fedvoxel {__version__}",
        **versions,
    }


def _points(outcome: RunOutcome) -> Iterator[Point]:
    for record in outcome.rounds:
        for name, value in round_figures(record).items():
            yield Point(name, record.round, value)
    last = outcome.rounds[-1].round if outcome.rounds else 0
    for name, value in end_figures(outcome).items():
        yield Point(name, last, value)


def _arguments(config: Any) -> Iterator[dict[str, Any]]:
    """Yields the arguments of a job's workflow or executor, if the file has the shape that FedVoxel's jobs have."""
    entries = config if isinstance(config, dict) else {}
    for key in ("workflows", "executors"):
        for entry in entries.get(key) or ():
            component = entry.get("executor", entry) if isinstance(entry, dict) else {}
            arguments = component.get("args") if isinstance(component, dict) else None
            if isinstance(arguments, dict):
                yield {name: value for name, value in arguments.items() if name != "run_key"}


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _flat(f"{name}.{part(key)}", below)
    elif value is not None:
        yield name[:200], _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_WORD else text[: _LONGEST_WORD - 1] + "…"
