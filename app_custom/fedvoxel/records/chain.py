"""An append-only record: a file with one JSON object a line, each of which holds the hash of the one before it.

A chain has a folder of its own, with three files: the lines, `head.json` (a copy of the last line) and `lock`. An
append writes the line, syncs it, replaces the head, syncs that and the folder, and only then returns. So:

- `kill -9` or a power cut before the line is whole: the append never returned, nobody acted on it, and the unfinished
  end of the file (no line break) is removed by the next writer. Nothing else is ever removed or changed.
- between line and head: the entry stands although its append never returned. The head is then one entry behind, which
  is allowed, and the next writer brings it up before anything else.
- full disk (DiskFullError) or I/O error (LedgerError): half a line is cut off again; if even that fails, it is as
  after a crash.
- two processes, or two threads: `writing` holds a file lock (flock) from reading to writing, so that a decision and
  its entry are one step. The kernel frees the lock of a killed process. Whoever waits longer than `LOCK_TIMEOUT_S`
  for a stopped one gives up with LockedError. A reader writes nothing, so that a copy on a medium that cannot be
  written is read as it is (`records.chain_lock`).
- another account than the folder's owner, root too: refused before anything is written, unless the chain is public.
- a clock that goes back: the index decides the order. `at` never decreases, and `clock_behind_s` says by how much the
  clock was behind it.
- a line that was changed, dropped, repeated, exchanged with another or put in: refused, because its index, the hash
  before it or its own hash does not fit.
- an older copy of the file, lines cut off its end, another chain in its place, a missing or foreign head: refused,
  because lines and head do not fit.

What it cannot see: an older copy of the whole folder (a restored backup, a cloned machine), and a forger who works out
new hashes for all that follows and for the head, since nothing here is signed. (One single line put in at the very end
looks like a crash between line and head.) Against these, tell a hash to somebody outside now and then, and look for it
in the entries. `continuing` sees no change of what it verified before, until somebody reads from the beginning. The
lock holds on one machine, and on network file systems that support flock.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from fedvoxel.errors import LedgerError
from fedvoxel.records.atomic import write_bytes, write_public
from fedvoxel.records.chain_entry import (
    ADVICE,
    HEAD_FILE,
    Body,
    Entry,
    check_head,
    entry_of,
    next_entry,
    verified_entries,
)
from fedvoxel.records.chain_file import bytes_of, file_trouble, write_after
from fedvoxel.records.chain_lock import readers_lock, require_owner, writers_lock

LOCK_TIMEOUT_S = 60.0
_TRIES = 3

_logger = logging.getLogger(__name__)

Clock = Callable[[], datetime]
"""Returns the present time with its zone."""


class OpenChain:
    """Is a chain whose lock this process holds: its entries do not change but by `append`.

    Attributes:
        entries: All entries, verified.
        head: What `head.json` holds; None where there is none, or where it cannot be read and that was forgiven.
        size_bytes: What the lines take.
    """

    def __init__(self, path: Path, clock: Clock, public: bool, entries: list[Entry], head: Entry | None) -> None:
        """Is made by `Chain`."""
        self.entries, self.head = entries, head
        self._path, self._clock, self._public = path, clock, public
        self.size_bytes = sum(len(entry.line) + 1 for entry in entries)

    def append(self, body: Body, *more: Body) -> Entry:
        """Adds entries in one write, which a crash leaves as nothing or a chain that is refused; returns the last.

        Raises:
            LedgerError: The disk is full or cannot be written.
            ValueError: A body holds NaN or an infinity.
        """
        last = self.entries[-1] if self.entries else None
        added = [next_entry(last, body, self._clock())]
        for another in more:
            added.append(next_entry(added[-1], another, self._clock()))
        if added[-1].clock_behind_s:
            _logger.warning("event=clock_went_back file=%s seconds=%.3f", self._path.name, added[-1].clock_behind_s)
        content = b"".join(entry.line + b"\n" for entry in added)
        with file_trouble(self._path):
            write_after(self._path, self.size_bytes, content, self._public)
        self.entries, self.size_bytes = self.entries + added, self.size_bytes + len(content)
        self.write_head()
        return added[-1]

    def append_each(self, bodies: Iterable[Body]) -> None:
        """Adds entries one after the other, see `append`: a crash leaves the first ones, and a chain that goes on."""
        for body in bodies:
            self.append(body)

    def read_on(self, added: list[Entry], head: bytes | None) -> bool:
        """Takes what others have added behind its entries, if `head.json` fits that; else it stays as it is."""
        entries = self.entries + added
        # As in `check_head`: the head may be one entry behind.
        known = next((entry for entry in entries[-2:] if head == entry.line + b"\n"), None)
        if known is not None:
            self.entries, self.head = entries, known
            self.size_bytes += sum(len(entry.line) + 1 for entry in added)
        return known is not None

    def write_head(self) -> None:
        """Makes the last entry the head, if it is not.

        Raises:
            LedgerError: The disk is full or cannot be written.
        """
        if self.entries and self.head != self.entries[-1]:
            with file_trouble(self._path):
                head, line = self._path.with_name(HEAD_FILE), self.entries[-1].line + b"\n"
                if self._public:
                    write_public(head, line)
                else:
                    write_bytes(head, line, mode=0o600)
            self.head = self.entries[-1]


class Chain:
    """Is a chain on disk."""

    def __init__(self, path: Path, clock: Clock = lambda: datetime.now(UTC), public: bool = False) -> None:
        """Touches no file.

        Args:
            path: The file with the lines, in a folder of its own.
            clock: Says when an entry was written.
            public: Whether every account may read the entries, whatever the umask; else their owner alone.
        """
        self._path, self._clock, self._public = path, clock, public

    def append(self, body: Body) -> Entry:
        """Adds one entry and returns it, the new head; it is on disk when this returns. See `writing`."""
        with self.writing() as chain:
            return chain.append(body)

    def read(self) -> list[Entry]:
        """Returns all entries, verified; none where there is no chain yet. An unfinished last line is left out.

        Raises:
            LedgerError: The chain cannot be read or trusted, or stays locked.
        """
        if not self._path.parent.is_dir():
            return []
        with readers_lock(self._path, LOCK_TIMEOUT_S) as locked:
            for _ in range(0 if locked else _TRIES - 1):
                with suppress(LedgerError):  # an entry may just have been written
                    return self._load().entries
            return self._load().entries

    @contextmanager
    def writing(self) -> Iterator[OpenChain]:
        """Opens the chain under its lock, for a decision and the entries that follow from it.

        Raises:
            LedgerError: The chain cannot be read, trusted or written, or stays locked.
        """
        with self._to_write():
            chain = self._load()
            chain.write_head()
            yield chain

    @contextmanager
    def recovering(self) -> Iterator[OpenChain]:
        """Opens the chain as `writing` does, but also where it has lost entries that its head names.

        Only the head is forgiven: the lines must verify. `append` makes its last entry the head, and with it the loss
        is forgotten: what accounts for it must be in the first append.

        Raises:
            LedgerError: The lines cannot be read or trusted, or the chain stays locked.
        """
        with self._to_write():
            yield self._load(forgive_head=True)

    @contextmanager
    def continuing(self, last: OpenChain | None) -> Iterator[OpenChain]:
        """Opens the chain as `writing` does, without reading again what this process has read or written itself.

        For who adds often. Where the last known entry stands at its place, what others have added since is read and
        verified, and `last` is yielded again; a change before that entry is not seen. Anywhere else all is read anew.

        Args:
            last: What this method or `writing` yielded before; None for a first time. Its first entries may have been
                dropped meanwhile.
        """
        with self._to_write():
            chain = last if last is not None and self._goes_on(last) else self._load()
            chain.write_head()
            yield chain

    def _goes_on(self, last: OpenChain) -> bool:
        """Says whether the file begins with what `last` has, and adds to `last` what is behind that."""
        if not last.entries:
            return False
        line = last.entries[-1].line + b"\n"
        with file_trouble(self._path):
            head = bytes_of(self._path.with_name(HEAD_FILE))
            content = bytes_of(self._path, last.size_bytes - len(line)) or b""
        if not content.startswith(line):
            return False
        with suppress(LedgerError):  # which line is wrong, `_load` says
            added = verified_entries(content.removeprefix(line), self._path.name, last.entries[-1])
            return last.read_on(added, head)
        return False

    def _load(self, forgive_head: bool = False) -> OpenChain:
        with file_trouble(self._path):
            # The head first: read without the lock, it may lack an entry that the lines have, never the reverse.
            head_content = bytes_of(self._path.with_name(HEAD_FILE))
            entries = verified_entries(bytes_of(self._path) or b"", self._path.name)
        head: Entry | None = None
        try:
            head = entry_of(head_content.removesuffix(b"\n")) if head_content is not None else None
        except ValueError:
            if not forgive_head:
                raise LedgerError(f"{HEAD_FILE} of {self._path.name} is not what was written; {ADVICE}") from None
        if not forgive_head:
            check_head(entries, head, self._path.name)
        return OpenChain(self._path, self._clock, self._public, entries, head)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps everybody else from writing, for who copies the files as they are.

        Raises:
            LedgerError: The chain stays locked.
        """
        with self._locked():
            yield

    @contextmanager
    def _to_write(self) -> Iterator[None]:
        """Locks the chain for an entry, which only the owner of its folder may add, unless the chain is public."""
        if not self._public:
            with file_trouble(self._path):
                require_owner(self._path.parent, self._path.name)
        with self._locked():
            yield

    def _locked(self) -> AbstractContextManager[None]:
        return writers_lock(self._path, LOCK_TIMEOUT_S)
