"""Chooses which slices of a labelled volume are shown, and how much of its surroundings.

Volumes are in RAS order here: X grows to the patient's right, Y to the front, Z upwards. Slices stand as radiologists
read them: the patient's right on the left, anterior and superior on top, a sagittal slice facing left.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The axis that each view cuts, its name, and the sides at its left and right, top and bottom edges (RAS voxels).
VIEWS = ((2, "axial", "RL", "AP"), (1, "coronal", "RL", "SI"), (0, "sagittal", "AP", "SI"))

Box = tuple[tuple[int, int], ...]
"""First voxel and the one after the last, along each axis."""


def largest_cut(inside: NDArray[np.bool_], axis: int) -> int:
    """Returns the index along `axis` of the slice with most of the structures; the middle one if there are none."""
    areas = np.count_nonzero(inside, axis=tuple(which for which in range(3) if which != axis))
    return int(areas.argmax()) if areas.any() else inside.shape[axis] // 2


def box_around(inside: NDArray[np.bool_], spacing_mm: Sequence[float], margin_mm: float) -> Box:
    """Returns the box of the structures with a margin, within the volume; all of it if there are none."""
    if not inside.any():
        return tuple((0, size) for size in inside.shape)
    box = []
    for axis, size in enumerate(inside.shape):
        found = np.flatnonzero(inside.any(axis=tuple(which for which in range(3) if which != axis)))
        margin = round(margin_mm / spacing_mm[axis])
        box.append((max(int(found[0]) - margin, 0), min(int(found[-1]) + margin + 1, size)))
    return tuple(box)


def slice_in(box: Box, axis: int, index: int) -> tuple[Any, ...]:
    """Returns what indexes the slice `index` of `axis` within `box`."""
    return tuple(index if which == axis else slice(*box[which]) for which in range(3))
