"""Paints one stroke of a brush on one slice of a label map: all voxels whose centre the round brush passes over."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.reading.planes import Plane

MOST_POINTS = 4000
_Place = Annotated[float, Field(ge=-4096, le=4096)]


class Stroke(FrozenModel):
    """Is one movement of the brush over a slice.

    Attributes:
        plane: "axial", "coronal" or "sagittal".
        index: The slice.
        points: The brush's way as (column, row) from the picture's top left corner; a voxel's centre is at .5.
        radius_mm: The brush's radius.
        code: The structure's code in the label map.
        erase: Whether the structure is taken away; others are left alone.
    """

    plane: Literal["axial", "coronal", "sagittal"]
    index: int = Field(ge=0, le=65535)
    points: Annotated[tuple[tuple[_Place, _Place], ...], Field(min_length=1, max_length=MOST_POINTS)]
    radius_mm: float = Field(gt=0, le=200)
    code: int = Field(ge=1, le=254)
    erase: bool = False


@dataclass(frozen=True, eq=False)
class Change:
    """Says what a stroke changed on its slice, so that it can be taken back.

    Attributes:
        stroke: The stroke.
        places: Indices (rows, columns) of the voxels whose code changed.
        before: Their codes before, uint8 (n,).
    """

    stroke: Stroke
    places: tuple[NDArray[np.intp], NDArray[np.intp]]
    before: NDArray[np.uint8]

    @property
    def after(self) -> int:
        """Is their code after."""
        return 0 if self.stroke.erase else self.stroke.code


def paint(cut: NDArray[np.uint8], plane: Plane, stroke: Stroke) -> Change:
    """Paints `stroke` on a slice (rows, columns), in place.

    The voxel under the brush's middle counts even where the brush is smaller than a voxel.
    """
    touched = _touched(cut.shape, plane, stroke)
    wanted = cut == stroke.code if stroke.erase else cut != stroke.code
    rows, columns = np.nonzero(touched & wanted)
    change = Change(stroke, (rows, columns), cut[rows, columns].copy())
    cut[rows, columns] = change.after
    return change


def _touched(shape: tuple[int, ...], plane: Plane, stroke: Stroke) -> NDArray[np.bool_]:
    """Returns which voxels of a slice lie within the radius of the line through the stroke's points."""
    touched = np.zeros(shape, dtype=bool)
    to_mm = np.linalg.cholesky(np.array([plane.metric_mm2[:2], plane.metric_mm2[1:]])).T
    reach = stroke.radius_mm / np.abs(np.linalg.svd(to_mm, compute_uv=False)).min() + 1.0
    points = np.array(stroke.points, dtype=np.float64)
    for start, end in zip(points, [*points[1:], points[-1]], strict=True):
        low = np.maximum(np.floor(np.minimum(start, end) - reach), 0).astype(int)
        high = np.minimum(np.ceil(np.maximum(start, end) + reach), shape[::-1]).astype(int)
        if (low < high).all():
            part = touched[low[1] : high[1], low[0] : high[0]]
            part |= _near(low, high, (start, end), to_mm) <= stroke.radius_mm
    under = np.floor(points).astype(int)
    inside = ((under >= 0) & (under < shape[::-1])).all(axis=1)
    touched[under[inside, 1], under[inside, 0]] = True
    return touched


def _near(
    low: NDArray[np.intp],
    high: NDArray[np.intp],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
    to_mm: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Returns the distance in mm of each voxel's centre in a box (rows, columns) from a straight line."""
    columns, rows = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
    start, end = (to_mm @ point for point in ends)
    centres = np.stack([columns, rows], axis=-1) @ to_mm.T
    along = end - start
    length = float(along @ along)
    share = np.clip((centres - start) @ along / length, 0.0, 1.0) if length > 0 else np.zeros(columns.shape)
    return np.asarray(np.linalg.norm(centres - start - share[..., np.newaxis] * along, axis=-1))
