"""An audit log: events (`records.audit_event`) on a chain of hashes, kept where nobody can change it unseen.

Lower rooms make events and hand them to whatever `Record` they were given; only who owns a `state/` folder makes an
`AuditLog`. The server has one, and each site one for all its jobs. What a chain can and cannot show by itself is said
in `records.chain`; the sites' countersignatures show the rest.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from fedvoxel.records.audit_event import AuditEvent, event_of
from fedvoxel.records.chain import Chain, OpenChain
from fedvoxel.records.chain_entry import Entry

AUDIT_FILE = "audit.jsonl"
"""The name of the log in the folder `state/audit/`."""

Record = Callable[[Sequence[AuditEvent]], None]
"""Takes events as they happen."""


def unrecorded(events: Sequence[AuditEvent]) -> None:
    """Is the `Record` of who keeps no log."""


class AuditLog:
    """Is the log on disk, which several processes may write to.

    Of what this process has read and verified it keeps the last entry alone, and does not read it again to add to it:
    only what another process has written meanwhile.
    """

    def __init__(self, state: Path) -> None:
        """Touches no file; `state` is the `state/` folder of a kit."""
        self._chain = Chain(state / "audit" / AUDIT_FILE)
        self._last: OpenChain | None = None

    def record(self, events: Sequence[AuditEvent]) -> None:
        """Writes events, one after the other; they are on disk when this returns.

        Raises:
            LedgerError: The log cannot be trusted or written.
        """
        if events:
            with self._chain.continuing(self._last) as chain:
                chain.append_each(event.body() for event in events)
                # A run of many rounds would otherwise hold them all in memory.
                chain.entries, self._last = chain.entries[-1:], chain

    @contextmanager
    def writing(self) -> Iterator[OpenChain]:
        """Opens the whole log under its lock, for a decision that is made from what it holds, and the events of it.

        Raises:
            LedgerError: The log cannot be trusted or written.
        """
        with self._chain.writing() as chain:
            yield chain

    def followed(self, last: OpenChain | None) -> AbstractContextManager[OpenChain]:
        """Opens the log as `writing` does, of which `last` is known; see `Chain.continuing`."""
        return self._chain.continuing(last)

    def read(self) -> list[tuple[Entry, AuditEvent]]:
        """Returns the lines, each with what it says; none where there is no log yet.

        Raises:
            LedgerError: It cannot be read or trusted, or a line is no event of this version.
        """
        return events_of(self._chain.read())


class Noting(Protocol):
    """Is what somebody keeps of a log that they follow."""

    def note(self, entry: Entry) -> None:
        """Takes the next entry, from the first one on."""


Noted = TypeVar("Noted", bound=Noting)


class FollowedLog(Generic[Noted]):
    """Is a log for who decides from it again and again: each entry is read and verified once, and noted."""

    def __init__(self, log: AuditLog, begin: Callable[[], Noted]) -> None:
        """Touches no file.

        Args:
            log: The log.
            begin: Returns what nothing is noted in yet.
        """
        self._log, self._begin = log, begin
        self._turn = threading.Lock()
        self._last: OpenChain | None = None
        self._noted, self._count = begin(), 0

    @contextmanager
    def writing(self) -> Iterator[tuple[OpenChain, Noted]]:
        """Opens the log under its lock, and yields it with what is noted of all its entries.

        Of the entries it has the last one at least. Where the file does not go on from what was noted, all of it is
        noted anew.

        Raises:
            LedgerError: The log cannot be trusted or written.
        """
        with self._turn, self._log.followed(self._last) as chain:
            if chain is not self._last:
                self._noted, self._count = self._begin(), 0
            for entry in chain.entries:
                if entry.index == self._count:
                    self._noted.note(entry)
                    self._count += 1
            chain.entries, self._last = chain.entries[-1:], chain
            yield chain, self._noted

    def noted(self) -> Noted:
        """Returns what is noted of all entries as they stand; the next call notes on in the same.

        Raises:
            LedgerError: The log cannot be trusted or written.
        """
        with self.writing() as (_, noted):
            return noted


def events_of(entries: Sequence[Entry]) -> list[tuple[Entry, AuditEvent]]:
    """Returns lines of a log, each with what it says.

    Raises:
        LedgerError: A line is no event of this version.
    """
    return [(entry, event_of(entry.body, entry.index + 1)) for entry in entries]
