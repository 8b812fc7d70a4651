"""A run's journal as its present attempt uses it: whether it goes on, from where, and what it leaves for the next."""

import secrets
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.federation.attempts import ENDED_WELL, Attempt, RunStatus
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.federation.run_state import RunState
from fedvoxel.federation.snapshot import Snapshot
from fedvoxel.flare.round_journal import JournalEntry, RoundJournal
from fedvoxel.flare.state_folder import run_state_folder, workspace_of
from fedvoxel.governance.job_folder import CLIENT_FILE, SERVER_FILE
from fedvoxel.records.canonical import sha256_of, sha256_of_file

JOURNAL = "journal"
"""The journal's folder in a run's state."""

_OUTCOME = "outcome"
"""The name under which a state in the journal has the outcome."""


def job_hash(fl_ctx: FLContext, words: Mapping[str, Any]) -> str:
    """Returns a hash of all that a job says: the controller's words, and the job's files, with those for the sites."""
    app = Path(workspace_of(fl_ctx).get_run_dir(fl_ctx.get_job_id()))
    files = {path.name: sha256_of_file(path) for path in sorted(app.glob("app_*/config/*.json"))}
    kept = {name: sha256 for name, sha256 in files.items() if name in (SERVER_FILE, CLIENT_FILE)}
    return sha256_of({"words": dict(words), "files": kept})


def readable_outcome(path: Path) -> RunOutcome | None:
    """Returns a run's outcome; None where there is none, or it is damaged."""
    with suppress(ConfigError):
        return load_outcome(path)
    return None


def outcome_of(folder: Path, entry: JournalEntry) -> RunOutcome | None:
    """Returns the outcome of a run as its attempts have left it; None where there is none that can be read.

    It is that of the run's journal where this knows of a round more, since a round is committed there first. A run that
    had the same key before may have left the other one.

    Args:
        folder: The run's folder in the server's state.
        entry: What its journal says.
    """
    found, jobs = [readable_outcome(folder / OUTCOME_FILE)], {attempt.job_id for attempt in entry.attempts}
    if entry.values and _OUTCOME in entry.values:
        found.append(parse_config(RunOutcome, entry.values[_OUTCOME], "the outcome in the run's journal"))
    own = [outcome for outcome in found if outcome and outcome.job_id in jobs]
    return max(own, key=lambda outcome: outcome.rounds_committed, default=None)


class RunJournal:
    """Is one run's journal. A journal of another job under the same key is not gone on with, and is overwritten."""

    def __init__(self, fl_ctx: FLContext, run_key: str, job: str) -> None:
        """Takes the run's key, and the hash of its job."""
        folder = run_state_folder(fl_ctx, run_key)
        self._files, self._folder = RoundJournal(folder / JOURNAL), folder
        self._job_id, self._run_key, self._job = fl_ctx.get_job_id(), run_key, job
        self.entry: JournalEntry

    def writing(self) -> AbstractContextManager[None]:
        """Keeps other jobs of the run out, see `RoundJournal.writing`."""
        return self._files.writing()

    def open(self, sites: Iterable[str]) -> None:
        """Reads what earlier attempts at this very job have left.

        Nothing of a run that has ended, if its result was removed, or if a site takes part now that had none in it: one
        that declined the job then, and has approved it since.

        Args:
            sites: Who takes part in this attempt.

        Raises:
            ConfigError: It is damaged, or was put back from a backup.
        """
        found = self._files.read()
        ended = found is not None and found.ended in ENDED_WELL
        if found is None or found.job != self._job or (ended and self._is_over(found, sites)):
            number, run_id = found.number if found else 0, secrets.token_hex(16)
            found = JournalEntry(run_key=self._run_key, run_id=run_id, job=self._job, sites=(), number=number)
        self.entry = found

    def _is_over(self, ended: JournalEntry, sites: Iterable[str]) -> bool:
        return not (self._folder / OUTCOME_FILE).is_file() or not set(sites) <= set(ended.sites)

    @property
    def outcome(self) -> RunOutcome | None:
        """Is the outcome as the attempts before have left it; None where there is none."""
        return outcome_of(self._folder, self.entry)

    @property
    def ended_well(self) -> bool:
        """Says whether the run has ended as it should: then it is not run again."""
        return self.entry.ended in ENDED_WELL

    @property
    def goes_on_by_itself(self) -> bool:
        """Says whether the server has the run go on, though this attempt could not even begin.

        By what lies on the disk, as the server goes by: of an entry that could not be written, one copy may have been.

        Raises:
            ConfigError: The journal is damaged.
        """
        found = self._files.read()
        return found is not None and found.job == self._job and bool(found.attempts) and found.ended == "unfinished"

    def begin(self, sites: Iterable[str], min_sites: int) -> None:
        """Writes that this attempt begins, with these sites, of which a round needs `min_sites`.

        Raises:
            LockedError: The journal stays locked.
            OSError: It cannot be written.
        """
        attempt = Attempt(job_id=self._job_id, started=datetime.now(UTC), first_round=self.entry.committed)
        attempts, all_sites = (*self.entry.attempts, attempt), sorted({*self.entry.sites, *sites})
        begun: dict[str, Any] = {"attempts": attempts, "sites": tuple(all_sites), "min_sites": min_sites}
        begun |= {"ended": "unfinished", "stopped": False}
        self.entry = self._files.write(self.entry.changed(**begun))

    def state(self) -> Snapshot | None:
        """Returns the state to go on from; None where there is none yet."""
        return None if self.entry.values is None else self._files.state(self.entry)

    def commit(self, run: RunState, outcome: RunOutcome) -> None:
        """Writes the run's state and its outcome after a committed round, or before the first.

        Raises:
            LockedError: The journal stays locked; what it held before still counts.
            OSError: The journal cannot be written; what it held before still counts.
        """
        kept = run.snapshot()
        state = Snapshot(kept.values | {_OUTCOME: outcome.model_dump(mode="json")}, kept.arrays)
        self.entry = self._files.write(self.entry.changed(committed=run.rounds.round, in_sum=None), state)

    def note_in_sum(self, sites: Iterable[str]) -> None:
        """Writes, before they are asked to sign, who is in the sum of the round after the committed ones.

        The first list stands: sites may have signed it, and sign no other in this round.

        Raises:
            LockedError: The journal stays locked.
            OSError: It cannot be written.
        """
        if self.entry.in_sum is None:
            self.entry = self._files.write(self.entry.changed(in_sum=tuple(sites)))

    def end(self, status: RunStatus, stopped: bool) -> None:
        """Writes how the run has ended, and whether for an incident; of one that has ended well no state is kept.

        Raises:
            LockedError: The journal stays locked.
            OSError: It cannot be written.
        """
        dropped: dict[str, Any] = {"values": None, "arrays": {}} if status in ENDED_WELL else {}
        self.entry = self._files.write(self.entry.changed(ended=status, stopped=stopped, **dropped))
