"""The array that a label from DICOM is painted into, on the image's own grid.

Nothing is resampled and nothing is lost: a marked pixel that falls outside of the image, or into another class, refuses
the label, and so does a label that is there on every other slice only, which lesions that lie apart are not.
"""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.refusal import geometry_error

Indices = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]

_FEWEST_STRIPES = 4
"""Marked slices, each a step from the one before, that are taken as stripes: fewer may be findings that lie so."""


class LabelCanvas:
    """Holds one code for each voxel of an image: 0 is background, 1 + i is class i.

    Args:
        shape: Voxels along the axes of the image's DICOM geometry: slices, rows, columns.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._codes = np.zeros(shape, dtype=np.uint8)

    @property
    def plane(self) -> tuple[int, int]:
        """Returns the rows and columns of a slice."""
        _, rows, columns = self._codes.shape
        return rows, columns

    def require_room(self, marked: int) -> None:
        """Refuses a frame that marks more pixels than any plane of the image has, before their places are listed.

        Raises:
            GeometryError: label_outside_image.
        """
        _, second, largest = sorted(self._codes.shape)
        if marked > second * largest:
            raise geometry_error("label_outside_image", "a frame marks more pixels than the image has in a plane")

    def paint(self, indices: Indices, class_index: int) -> None:
        """Marks the voxels at `indices` (one array for each axis) as of the class.

        Raises:
            GeometryError: label_outside_image or overlapping_classes; nothing is marked then.
        """
        pairs = zip(indices, self._codes.shape, strict=True)
        if any(axis.size and (axis.min() < 0 or axis.max() >= size) for axis, size in pairs):
            raise geometry_error("label_outside_image", "the label marks pixels outside of the image")
        code = np.uint8(1 + class_index)
        there = self._codes[indices]
        if np.any((there != 0) & (there != code)):
            raise geometry_error("overlapping_classes", "the label marks some voxels as of two classes")
        self._codes[indices] = code

    def finished(self) -> NDArray[np.uint8]:
        """Returns the codes (slices, rows, columns).

        Raises:
            GeometryError: empty_label, or striped_label when all that a class marks is on every n-th slice, as it is
                when a label was drawn on, or made for, an image with other slices.
        """
        codes = np.unique(self._codes)
        if not codes.any():
            raise geometry_error("empty_label", "the label marks no voxel of a class that is asked for")
        for code in codes[codes > 0]:
            _refuse_stripes(self._codes == code)
        return self._codes


def _refuse_stripes(mask: NDArray[np.bool_]) -> None:
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        marked = np.flatnonzero(mask.any(axis=others))
        gaps = np.diff(marked)
        step = int(gaps.min(initial=mask.shape[axis]))
        if step > 1 and not np.any(gaps % step) and _longest_run(gaps == step) >= _FEWEST_STRIPES - 1:
            raise geometry_error("striped_label", f"a class is marked on every {step}. slice only")


def _longest_run(flags: NDArray[np.bool_]) -> int:
    """Returns how many of `flags` (N,) are true in a row, at most."""
    ends = np.flatnonzero(np.concatenate(([True], ~flags, [True])))
    return int(np.diff(ends).max()) - 1
