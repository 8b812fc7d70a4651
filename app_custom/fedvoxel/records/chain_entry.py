"""The lines of a chain and how they hold each other: made, read back, and checked. Reads and writes no file.

A line is the canonical JSON of its entry, byte for byte; the same content in other words (white space, order of keys,
a key twice, 1.0 for 1) is refused like any other change.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from fedvoxel.errors import LedgerError
from fedvoxel.records.canonical import canonical_json, sha256_of

FIRST = "0" * 64
"""What the first entry names as the hash before it."""

HEAD_FILE = "head.json"
"""The copy of the last line beside the file with the lines."""

Body = dict[str, Any]
"""What an entry records: a JSON object."""

ADVICE = "put the newest copy back, or account for what is lost (a privacy ledger: fedvoxel privacy record-gap)"
"""What to do about a chain that has lost entries."""

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class Entry:
    """Is one line of a chain.

    Attributes:
        index: Its place, from 0.
        previous: Hash of the entry before it; `FIRST` for the first.
        at: When it was written, UTC; never before the entry before it.
        clock_behind_s: By how many seconds the clock was behind `at` (it had gone back); 0 if it was not.
        body: What is recorded, a JSON object.
        hash: SHA-256 (hexadecimal) of the canonical JSON of all the above.
    """

    index: int
    previous: str
    at: str
    clock_behind_s: float
    body: Body
    hash: str

    @property
    def line(self) -> bytes:
        """Is the entry as it stands in the file, without the line break."""
        return canonical_json(asdict(self))


def next_entry(before: Entry | None, body: Body, now: datetime) -> Entry:
    """Returns the entry that records `body` after `before`.

    Args:
        before: The last entry; None for an empty chain.
        body: A JSON object.
        now: The clock's time, with its zone; the order of entries does not depend on it.

    Raises:
        ValueError: `body` holds NaN or an infinity.
    """
    at, clock_behind_s = now.astimezone(UTC).strftime(_TIME_FORMAT), 0.0
    if before and at < before.at:
        clock_behind_s = (datetime.fromisoformat(before.at) - now).total_seconds()
        at = before.at
    index, previous = (before.index + 1, before.hash) if before else (0, FIRST)
    content = {"index": index, "previous": previous, "at": at, "clock_behind_s": clock_behind_s, "body": body}
    # Read back, so that the entry holds what a reader will find: lists for tuples, text for the keys of numbers.
    return entry_of(canonical_json({**content, "hash": sha256_of(content)}))


def entry_of(line: bytes) -> Entry:
    """Returns a line's entry, if the line is byte for byte as it would be written.

    Raises:
        ValueError: It is not.
    """
    try:
        entry = Entry(**json.loads(line))
        content = {key: value for key, value in asdict(entry).items() if key != "hash"}
        whole = entry.line == line and entry.hash == sha256_of(content)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    typed = isinstance(entry.index, int) and _is_time(entry.at) and isinstance(entry.body, dict)
    if not whole or not typed or entry.index < 0:
        raise ValueError("changed")
    return entry


def verified_entries(content: bytes, name: str, before: Entry | None = None) -> list[Entry]:
    """Returns the entries of a file's finished lines; what follows the last line break was never finished.

    Args:
        content: The file's bytes, from its beginning or from behind an entry on.
        name: Its name, for the error.
        before: That entry; None for the beginning.

    Raises:
        LedgerError: A line was changed, dropped, exchanged or put in.
    """
    entries: list[Entry] = []
    for number, line in enumerate(content.split(b"\n")[:-1], start=before.index + 2 if before else 1):
        try:
            entry = entry_of(line)
        except ValueError:
            raise LedgerError(f"line {number} of {name} is not what was written; put a copy of the file back") from None
        if not _follows(entries[-1] if entries else before, entry):
            raise LedgerError(
                f"line {number} of {name} does not follow the line before it: lines were dropped, exchanged or put "
                "in; put a copy of the file back"
            )
        entries.append(entry)
    return entries


def check_head(entries: Sequence[Entry], head: Entry | None, name: str) -> None:
    """Refuses lines and head that no history of appends and crashes can have left.

    The head may be one entry behind, after a crash between line and head; it is never ahead.

    Raises:
        LedgerError: The lines are older than the head, of another chain, or more than it knows.
    """
    known = head.index + 1 if head else 0
    if len(entries) < known:
        raise LedgerError(f"{name} has {len(entries)} entries where {known} were written: older or cut; {ADVICE}")
    if head and entries[head.index] != head:
        raise LedgerError(f"{name} is not the file that {HEAD_FILE} belongs to; {ADVICE}")
    if len(entries) > known + 1:
        raise LedgerError(f"{name} has {len(entries)} entries where {HEAD_FILE} knows {known}: not its own; {ADVICE}")


def _is_time(at: Any) -> bool:
    """Says whether a time is in the form in which times are written: what follows is reckoned from it."""
    return isinstance(at, str) and at.endswith("Z") and datetime.fromisoformat(at).tzinfo is UTC


def _follows(before: Entry | None, entry: Entry) -> bool:
    if before is None:
        return entry.index == 0 and entry.previous == FIRST
    return entry.index == before.index + 1 and entry.previous == before.hash and entry.at >= before.at
