"""A case that lies open before one reader: what is shown, the correction at hand, and the record of both."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.reading.correction import Correction
from fedvoxel.evaluation.reading.label_facts import volumes_ml
from fedvoxel.evaluation.reading.planes import Plane, slice_of
from fedvoxel.evaluation.reading.stroke import Stroke
from fedvoxel.review.case_record import CaseRecord, ConflictError
from fedvoxel.review.events import Begun, Event, Painted, Redone, Undone
from fedvoxel.review.reading import CORRECTED
from fedvoxel.review.shown_case import ShownCase


@dataclass(frozen=True)
class CaseTerms:
    """Says how one reader's case is read.

    Attributes:
        candidates: What each candidate is called on the page, and which it is.
        structures: Names, in the order of their codes.
        final: Whether an answer cannot be changed.
        reader: Who reads it.
    """

    candidates: Mapping[str, str]
    structures: tuple[str, ...]
    final: bool
    reader: str


class OpenCase:
    """Is one reader's case. Every change is on disk before a method returns.

    Attributes:
        shown: What the case looks like, shared by all readers.
        terms: How it is read.
        state: What this reader has done so far.
        correction: The label map under correction, or None.
        lock: Held while the correction changes.
    """

    def __init__(self, shown: ShownCase, terms: CaseTerms, record: CaseRecord) -> None:
        """Reads the record and plays its edits back.

        Raises:
            LedgerError: The record cannot be trusted.
            ReviewError: It is of other images or label maps than are shown.
        """
        self.shown, self.terms, self.state = shown, terms, record.read()
        if self.state.opened:
            shown.volumes.require_read_from(self.state.read_from)
        self.correction: Correction | None = None
        self.lock = threading.RLock()
        self._record = record
        if self.state.base is not None:
            self.correction = self._correction_of(self.state.base)
            for edit in self.state.edits:
                self._play(edit)

    @property
    def base(self) -> str | None:
        """Is what the candidate under correction is called on the page."""
        named = {which: name for name, which in self.terms.candidates.items()}
        return named.get(self.state.base) if self.state.base is not None else None

    @property
    def is_final(self) -> bool:
        """Says whether the case was answered, and may not be answered again."""
        return self.terms.final and self.state.answer is not None

    def require_changeable(self) -> None:
        """Refuses any change once an answer is final.

        Raises:
            ReviewError: It is.
        """
        if self.is_final:
            raise ReviewError("this case is answered, and an answer of a blinded reading is final")

    @property
    def is_changed(self) -> bool:
        """Says whether the correction differs from the candidate that it began from."""
        return self.correction is not None and self.correction.changed > 0

    def cut(self, name: str, plane: Plane, index: int) -> NDArray[np.uint8]:
        """Returns a slice (rows, columns) of a candidate by its name on the page, or of the correction.

        Raises:
            ReviewError: There is no such label map.
        """
        if name == CORRECTED and self.correction is not None:
            with self.lock:
                return np.array(slice_of(self.correction.shown, plane, index))
        return slice_of(self.shown.labels[self.candidate(name)], plane, index)

    def label(self, name: str) -> NDArray[np.uint8]:
        """Returns a whole label map (X, Y, Z) on the image's own grid, named as for `cut`.

        Raises:
            ReviewError: There is no such label map.
        """
        if name == CORRECTED and self.correction is not None:
            return self.correction.label
        return self.shown.volumes.labels[self.candidate(name)]

    def volumes_ml(self, name: str) -> dict[str, float]:
        """Returns the volume of each structure in millilitres, of a label map named as for `cut`.

        Raises:
            ReviewError: There is no such label map.
        """
        if name == CORRECTED and self.correction is not None:
            counts = self.correction.counts
        else:
            counts = self.shown.facts[self.candidate(name)].counts
        return volumes_ml(counts, self.shown.volumes.image.affine, self.terms.structures)

    def candidate(self, name: str) -> str:
        """Returns which candidate is called `name` on the page.

        Raises:
            ReviewError: There is none.
        """
        if name not in self.terms.candidates:
            raise ReviewError("this case has no such label map")
        return self.terms.candidates[name]

    def begin(self, name: str, revision: int) -> None:
        """Begins a correction anew from a candidate.

        Raises:
            ConflictError: The page has not seen the last edit.
            ReviewError: There is no such candidate, or the answer is final.
        """
        with self.lock:
            self._require_seen(revision)
            candidate = self.candidate(name)
            self.note(Begun(candidate=candidate))
            self.correction = self._correction_of(candidate)

    def edit(self, edit: Painted | Undone | Redone, revision: int) -> Stroke:
        """Paints, takes back or paints again, and returns the stroke.

        Raises:
            ConflictError: The page has not seen the last edit.
            ReviewError: The edit cannot be made.
        """
        with self.lock:
            self._require_seen(revision)
            self._require_possible(edit)
            self.note(edit)
            return self._play(edit)

    def note(self, event: Event) -> None:
        """Writes an event to the record."""
        with self.lock:
            self._record.append(event, self.state)

    def _correction_of(self, candidate: str) -> Correction:
        volumes = self.shown.volumes
        counts = self.shown.facts[candidate].counts
        return Correction(volumes.labels[candidate], volumes.image.affine, self.shown.planes, counts)

    def _require_seen(self, revision: int) -> None:
        self.require_changeable()
        if revision != self.state.revision:
            raise ConflictError("this case was changed in another window: load the page again, nothing is lost")

    def _require_possible(self, edit: Painted | Undone | Redone) -> None:
        if self.correction is None:
            raise ReviewError("no correction was begun: choose what to correct first")
        if isinstance(edit, Painted):
            self.shown.plane(edit.stroke.plane, edit.stroke.index)
            if edit.stroke.code > len(self.terms.structures):
                raise ReviewError(
                    f"expected a structure from 1 to {len(self.terms.structures)}, got {edit.stroke.code}"
                )
        elif not (self.correction.can_undo if isinstance(edit, Undone) else self.correction.can_redo):
            raise ReviewError(f"there is nothing to {'undo' if isinstance(edit, Undone) else 'redo'}")

    def _play(self, edit: Painted | Undone | Redone) -> Stroke:
        if self.correction is None:
            raise ReviewError("the record holds a stroke without a correction; it cannot be shown")
        if isinstance(edit, Painted):
            self.correction.paint(edit.stroke)
            return edit.stroke
        return self.correction.undo() if isinstance(edit, Undone) else self.correction.redo()
