"""What one reader did to one case: read from the chain that it is kept in, and added to it.

Two windows of one reader, or two programs on one folder, cannot overwrite each other: who has not seen the last edit is
told so, and nothing is written.
"""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from fedvoxel.errors import ReviewError
from fedvoxel.records.chain import Chain, OpenChain
from fedvoxel.records.chain_entry import Entry
from fedvoxel.review.events import (
    EDITS,
    EVENT,
    Answered,
    Begun,
    Draft,
    Drafted,
    Event,
    Measured,
    Painted,
    Redone,
    Spent,
    Undone,
    Unmeasured,
    Visited,
)

EVENTS_FOLDER, EVENTS_FILE = "events", "events.jsonl"


class ConflictError(ReviewError):
    """Says that the case has changed since the page was loaded; nothing was written."""


@dataclass
class CaseState:
    """Is what all events come to.

    Attributes:
        entries: How many there are.
        opened: Whether the case was ever opened.
        read_from: What it was read from; see `CaseVolumes`. None where it was not noted.
        revision: Number of edits.
        base: The candidate that the correction began from, or None.
        edits: The edits since then, to be played back.
        draft: What stands in the form, or None.
        answer: The last answer, or None.
        answered_at: When it was given, ISO 8601.
        unsaved: Whether something was painted, or the form changed, after the last answer.
        measured: The distances on the case.
        visits: For how long each visit was active, in seconds.
    """

    entries: int = 0
    opened: bool = False
    read_from: str | None = None
    revision: int = 0
    base: str | None = None
    edits: list[Painted | Undone | Redone] = field(default_factory=list)
    draft: Draft | None = None
    answer: Answered | None = None
    answered_at: str | None = None
    unsaved: bool = False
    measured: list[Measured] = field(default_factory=list)
    visits: dict[str, float] = field(default_factory=dict)

    @property
    def active_s(self) -> float:
        """Is the time spent on the case, over all visits."""
        return sum(self.visits.values())

    @property
    def status(self) -> str:
        """Is "new", "open", "done", or "unsaved": answered, and changed since."""
        if self.answer is None:
            return "open" if self.opened else "new"
        return "unsaved" if self.unsaved else "done"

    def add(self, event: Event, at: str) -> None:
        """Counts one more event in."""
        self.entries += 1
        self.opened = True
        self.revision += isinstance(event, EDITS)
        self.unsaved |= isinstance(event, EDITS) and self.answer is not None
        if isinstance(event, Begun):
            self.base, self.edits = event.candidate, []
        elif isinstance(event, Painted | Undone | Redone):
            self.edits.append(event)
        elif isinstance(event, Spent):
            self.visits[event.visit] = max(event.active_s, self.visits.get(event.visit, 0.0))
        elif isinstance(event, Visited):
            self.read_from = event.read_from
        elif isinstance(event, Measured):
            self.measured.append(event)
        elif isinstance(event, Unmeasured):
            del self.measured[-1:]
        elif isinstance(event, Drafted):
            self.unsaved |= event.draft != self.draft and self.answer is not None
            self.draft = event.draft
        elif isinstance(event, Answered):
            self.answer, self.answered_at, self.unsaved = event, at, False


class CaseRecord:
    """Is the record on disk."""

    def __init__(self, folder: Path) -> None:
        """Touches no file; `folder` is the reader's and the case's own."""
        self.folder = folder
        self._chain = Chain(folder / EVENTS_FOLDER / EVENTS_FILE)
        self._last: OpenChain | None = None

    def read(self) -> CaseState:
        """Returns the state of the case.

        Raises:
            LedgerError: The record cannot be read or trusted.
            ReviewError: It was written by a newer version.
        """
        return _state(self._chain.read())

    def append(self, event: Event, state: CaseState) -> None:
        """Writes an event and counts it into `state`; it is on disk when this returns.

        Raises:
            ConflictError: `state` is not what the record holds.
            LedgerError: The record cannot be trusted or written.
        """
        with self._chain.continuing(self._last) as chain:
            self._last = chain
            if len(chain.entries) != state.entries:
                raise ConflictError("this case was changed in another window: load the page again, nothing is lost")
            entry = chain.append(event.model_dump(mode="json"))
        state.add(event, entry.at)


def _state(entries: list[Entry]) -> CaseState:
    state = CaseState()
    for entry in entries:
        try:
            state.add(EVENT.validate_python(entry.body), entry.at)
        except ValidationError:
            raise ReviewError(
                f"line {entry.index + 1} of a case's record is no event of this version; update fedvoxel"
            ) from None
    return state
