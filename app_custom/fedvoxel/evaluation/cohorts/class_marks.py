"""Measures what a label marks: how much, in how many pieces, and whether it runs out of the scan."""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel

# The side of the patient at the first and at the last voxel of each axis, in RAS order.
_SIDES = (("left", "right"), ("back", "front"), ("bottom", "top"))


class ClassMark(FrozenModel):
    """Describes what one class marks in one case.

    Attributes:
        name: The class.
        voxels: Marked voxels.
        millilitres: Their volume.
        pieces: Connected pieces (voxels that share a face, edge or corner).
        borders: Sides of the scan that the class touches: "left", "right", "back", "front", "bottom", "top".
    """

    name: str
    voxels: int
    millilitres: float
    pieces: int
    borders: tuple[str, ...]


def class_marks(
    label: NDArray[np.uint8], classes: tuple[str, ...], spacing_mm: tuple[float, float, float]
) -> tuple[ClassMark, ...]:
    """Measures each class.

    Args:
        label: uint8 (X, Y, Z) in RAS order, 0 background, 1 + i class i.
        classes: Their names.
        spacing_mm: Voxel edge lengths.
    """
    from scipy import ndimage

    boxes = ndimage.find_objects(label, max_label=len(classes))
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    return tuple(
        _mark(name, label, 1 + index, box, voxel_ml)
        for index, (name, box) in enumerate(zip(classes, boxes, strict=True))
    )


def _mark(name: str, label: NDArray[np.uint8], code: int, box: tuple[slice, ...] | None, voxel_ml: float) -> ClassMark:
    from scipy import ndimage

    if box is None:
        return ClassMark(name=name, voxels=0, millilitres=0.0, pieces=0, borders=())
    inside = label[box] == code
    voxels = int(np.count_nonzero(inside))
    _, pieces = ndimage.label(inside, np.ones((3, 3, 3)))
    borders = tuple(
        side
        for sides, part, size in zip(_SIDES, box, label.shape, strict=True)
        for side, touches in zip(sides, (part.start == 0, part.stop == size), strict=True)
        if touches
    )
    return ClassMark(name=name, voxels=voxels, millilitres=voxels * voxel_ml, pieces=int(pieces), borders=borders)
