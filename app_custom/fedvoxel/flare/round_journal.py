"""The journal of one run on the server: what the next attempt needs to go on after the last committed round.

It is written before anybody is sent what a round has made. Arrays come first, each group in a file that its hash
names; then the entry that names them, with a hash of its own; only then is removed what no entry names. Every file lies
there twice: where bytes of one copy have changed, the other is taken. An entry is whole or it does not count: of those
that are whole the newest counts, and where none is, nothing goes on, and no model is made up.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, FedVoxelError, JobError, UpdateError
from fedvoxel.federation.attempts import ENDED_WELL, Attempt, RunStatus
from fedvoxel.federation.snapshot import Group, Snapshot
from fedvoxel.governance.restored_runs import RESTORED_MARK
from fedvoxel.plain_file import MOST_ARRAYS_BYTES, NotPlainError, read_plain
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_lock import LOCK_FILE
from fedvoxel.records.names import RunId, RunKey, Sha256
from fedvoxel.updates.weights_file import from_bytes, to_bytes

_COPIES = ("", ".copy")
_RUNNING = "running.lock"


class KeptGroup(FrozenModel):
    """Names a file of arrays; the order of the names is part of the state, and no file keeps it."""

    sha256: Sha256
    names: tuple[str, ...]


class JournalEntry(FrozenModel):
    """Is what the journal says of a run.

    Attributes:
        run_id: Names the run apart from any other that had or will have its key.
        job: Hash of the words of its job.
        sites: All sites of the run.
        min_sites: How many of them a round needs; 1 where an older release has written.
        number: Counts the entries.
        attempts: Its FLARE jobs, in order.
        committed: Rounds that are committed.
        in_sum: Under secure aggregation, who was first asked to sign the sum of the round after these; an attempt that
            begins it again takes nobody else's update. None where nobody was yet, or an older release has written.
        ended: How the run ended; "unfinished" while it has not.
        stopped: Whether it was aborted for an incident: then nobody but a person goes on with it.
        values: The run's state, see `federation.run_state`; none before the first model is there.
        arrays: Its arrays.
    """

    schema_version: Literal[1] = 1
    run_key: RunKey
    run_id: RunId
    job: Sha256
    sites: tuple[str, ...]
    min_sites: PositiveInt = 1
    number: NonNegativeInt = 0
    attempts: tuple[Attempt, ...] = ()
    committed: NonNegativeInt = 0
    in_sum: tuple[str, ...] | None = None
    ended: RunStatus = "unfinished"
    stopped: bool = False
    values: dict[str, Any] | None = None
    arrays: dict[str, KeptGroup] = Field(default_factory=dict)

    def changed(self, **changes: Any) -> Self:
        """Returns the next entry, with other values."""
        return self.model_copy(update={"number": self.number + 1} | changes)


class RoundJournal:
    """Is the folder with a run's journal; whoever writes holds its lock."""

    def __init__(self, folder: Path) -> None:
        """Touches no file."""
        self._folder = folder
        self._turns = Chain(folder / "journal.json")
        """Its lock keeps a backup from copying an entry without its arrays; a run that goes on holds the other one."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps other attempts at the run out; the lock ends with the process that holds it.

        Raises:
            JobError: Another job of this run is running.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._folder / _RUNNING, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise JobError("another job of this run is running; wait for it, or give this one a new run_key") from None
        finally:
            os.close(handle)

    def read(self) -> JournalEntry | None:
        """Returns the newest entry that is whole, without its arrays; None where there never was one.

        Raises:
            ConfigError: There are entries, and none of them can be trusted; or the run had not ended in a backup from
                which the journal was put back, and may have gone on since.
        """
        found = [self._entry(path) for path in self._entry_files() if path.is_file()]
        whole = [entry for entry in found if entry and self._is_whole(entry)]
        if found and not whole:
            raise ConfigError(
                "the run's journal on the server is damaged, in both of its copies: put its files back from a backup, "
                "or begin anew with another run_key"
            )
        newest = max(whole, key=lambda entry: entry.number, default=None)
        if newest and newest.ended not in ENDED_WELL and (self._folder / RESTORED_MARK).is_file():
            raise ConfigError(
                "the run was put back from a backup before it had ended, and is not gone on with, since nothing here "
                "says what was received and released after it: begin anew with another run_key; the operator finds "
                f"what else can be done in {RESTORED_MARK} in the run's journal"
            )
        return newest

    def state(self, entry: JournalEntry) -> Snapshot:
        """Returns the run's state in an entry that `read` has returned.

        Raises:
            ConfigError: It has none, or a file has changed meanwhile.
        """
        if entry.values is None:
            raise ConfigError("the run's journal holds no state yet")
        # The same content is one object again, by which rounds know that the best model is the last one.
        read = {(kept.sha256, kept.names): kept for kept in entry.arrays.values()}
        loaded = {key: self._load(kept) for key, kept in read.items()}
        named = {group: loaded[kept.sha256, kept.names] for group, kept in entry.arrays.items()}
        return Snapshot(entry.values, named)

    def write(self, entry: JournalEntry, state: Snapshot | None = None) -> JournalEntry:
        """Writes an entry, with a new state or with that of the one before, and returns it as it stands.

        Raises:
            OSError: It cannot be written; then the entry before still counts.
            LockedError: A backup has kept it locked for too long.
        """
        with self._turns.held():
            if state is not None:
                arrays = {group: self._keep(named) for group, named in state.arrays.items()}
                entry = entry.model_copy(update={"values": state.values, "arrays": arrays})
            content = _with_hash(entry)
            for path in self._entry_files():
                write_bytes(path, content, mode=0o600)
            self._tidy(entry)
        return entry

    def check_free(self) -> None:
        """Waits while a backup keeps the journal locked.

        Raises:
            LockedError: It has done so for too long.
        """
        with self._turns.held():
            pass

    def _entry_files(self) -> tuple[Path, ...]:
        return tuple(self._folder / f"journal{copy}.json" for copy in _COPIES)

    def _array_files(self, sha256: str) -> tuple[Path, ...]:
        return tuple(self._folder / f"{sha256}{copy}.npz" for copy in _COPIES)

    def _entry(self, path: Path) -> JournalEntry | None:
        try:
            head, _, body = read_plain(path).partition(b"\n")
        except NotPlainError:
            return None
        if head.decode("ascii", "replace") != hashlib.sha256(body).hexdigest():
            return None
        try:
            return parse_config(JournalEntry, json.loads(body), "the run's journal")
        except (ValueError, RecursionError, FedVoxelError):
            return None

    def _is_whole(self, entry: JournalEntry) -> bool:
        return all(self._content(kept.sha256) is not None for kept in entry.arrays.values())

    def _content(self, sha256: str) -> bytes | None:
        for path in filter(Path.is_file, self._array_files(sha256)):
            with suppress(NotPlainError):
                content = read_plain(path, MOST_ARRAYS_BYTES)
                if hashlib.sha256(content).hexdigest() == sha256:
                    return content
        return None

    def _load(self, kept: KeptGroup) -> Group:
        content = self._content(kept.sha256)
        try:
            found: Mapping[str, Any] = {} if content is None else from_bytes(content)
            return {name: found[name] for name in kept.names}
        except (KeyError, UpdateError):
            raise ConfigError("a file of the run's journal has changed while it was read") from None

    def _keep(self, named: Group) -> KeptGroup:
        content = to_bytes(named)
        sha256 = hashlib.sha256(content).hexdigest()
        for path in self._array_files(sha256):
            if not path.is_file() or sha256_of_file(path) != sha256:
                write_bytes(path, content, mode=0o600)
        return KeptGroup(sha256=sha256, names=tuple(named))

    def _tidy(self, entry: JournalEntry) -> None:
        """Removes what the entry does not name, also what a write that was cut short has left."""
        named = {path.name for kept in entry.arrays.values() for path in self._array_files(kept.sha256)}
        named |= {path.name for path in self._entry_files()} | {_RUNNING, LOCK_FILE}
        for path in self._folder.iterdir():
            if path.name not in named:
                path.unlink()


def _with_hash(entry: JournalEntry) -> bytes:
    # Not sorted: sums over sites go in the order in which these came, also after a restart.
    body = json.dumps(entry.model_dump(mode="json"), allow_nan=False, ensure_ascii=False).encode("utf-8")
    return hashlib.sha256(body).hexdigest().encode("ascii") + b"\n" + body
