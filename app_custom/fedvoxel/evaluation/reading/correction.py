"""Keeps a label map under correction: strokes are painted, taken back and painted again, in any plane."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.reading.label_facts import CODES
from fedvoxel.evaluation.reading.planes import Plane, displayed, slice_of
from fedvoxel.evaluation.reading.stroke import Change, Stroke, paint
from fedvoxel.volumes.volume import Affine


class Correction:
    """Is a copy of a label map, and the strokes on it.

    Attributes:
        label: uint8 (X, Y, Z) on the image's own grid.
        shown: The same voxels as they are displayed; see `planes.displayed`.
        counts: Voxels of each code, (256,).
        changed: Voxels that are not as they were in the label map that was copied.
    """

    def __init__(
        self, label: NDArray[np.uint8], affine: Affine, planes: Mapping[str, Plane], counts: NDArray[np.int64]
    ) -> None:
        """Copies `label`, which has `counts` voxels of each code; `planes` are those of its image, by name."""
        self.label = label.copy(order="K")
        self.label.flags.writeable = True
        self.shown = displayed(self.label, affine)
        self.counts = counts.copy()
        self.changed = 0
        self._before = displayed(label, affine)
        self._planes = planes
        self._done: list[Change] = []
        self._undone: list[Change] = []

    @property
    def can_undo(self) -> bool:
        """Says whether there is a stroke to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Says whether a stroke that was taken back can be painted again."""
        return bool(self._undone)

    def paint(self, stroke: Stroke) -> None:
        """Paints a stroke; those that were taken back before are gone.

        Raises:
            ValueError: The slice is not one of the scan.
        """
        plane = self._planes[stroke.plane]
        if stroke.index >= plane.slices:
            raise ValueError(f"expected a slice below {plane.slices}, got {stroke.index}")
        change = paint(slice_of(self.shown, plane, stroke.index), plane, stroke)
        self._count(change, 1)
        self._done.append(change)
        self._undone.clear()

    def undo(self) -> Stroke:
        """Takes the last stroke back and returns it.

        Raises:
            ValueError: There is none.
        """
        if not self._done:
            raise ValueError("there is no stroke to take back")
        change = self._done.pop()
        self._slice(self.shown, change.stroke)[change.places] = change.before
        self._count(change, -1)
        self._undone.append(change)
        return change.stroke

    def redo(self) -> Stroke:
        """Paints the stroke again that was taken back last, and returns it.

        Raises:
            ValueError: There is none.
        """
        if not self._undone:
            raise ValueError("there is no stroke to paint again")
        change = self._undone.pop()
        self._slice(self.shown, change.stroke)[change.places] = change.after
        self._count(change, 1)
        self._done.append(change)
        return change.stroke

    def _count(self, change: Change, sign: int) -> None:
        self.counts -= sign * np.bincount(change.before, minlength=CODES)
        self.counts[change.after] += sign * change.before.size
        original = self._slice(self._before, change.stroke)[change.places]
        other_before, other_after = (np.not_equal(codes, original).sum() for codes in (change.before, change.after))
        self.changed += sign * int(other_after - other_before)

    def _slice(self, shown: NDArray[np.uint8], stroke: Stroke) -> NDArray[np.uint8]:
        return slice_of(shown, self._planes[stroke.plane], stroke.index)
