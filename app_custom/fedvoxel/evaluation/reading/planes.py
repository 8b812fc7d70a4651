"""Lays a scan out in three planes as radiologists read them: the patient's right on the left, front and head on top.

A scan is shown on its own grid: axes are turned and swapped, and nothing is ever resampled. An oblique scan keeps its
own planes; each bears the name of the nearest standard one, and its sides say where they really point.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.cutting import VIEWS
from fedvoxel.volumes.resampling import VoxelT, reorient
from fedvoxel.volumes.volume import Affine, Volume

_SECOND_SIDE = 0.2
"""A side's second letter is written where it makes out this share of the direction (12 degrees)."""

_OBLIQUE_DEGREES = 2.0
_LETTERS = ("LR", "PA", "IS")


@dataclass(frozen=True)
class Plane:
    """Is one way to leaf through a scan. Rows and columns count from the picture's top left corner.

    Attributes:
        name: "axial", "coronal" or "sagittal", the nearest to the scan's own.
        axis: The axis of the displayed array that is cut.
        slices: How many; slice 0 is at the patient's feet, back or left.
        rows: Voxels down.
        columns: Voxels across.
        sides: Where left, right, top and bottom point in the patient, such as "R", "L", "A", "P", or "AS".
        metric_mm2: (a, b, c): a step of (across, down) voxels is sqrt(a·across² + 2·b·across·down + c·down²) mm long.
        tilt_degrees: Angle to the standard plane; 0 for less than 2 degrees.
    """

    name: str
    axis: int
    slices: int
    rows: int
    columns: int
    sides: tuple[str, str, str, str]
    metric_mm2: tuple[float, float, float]
    tilt_degrees: float


def displayed(voxels: NDArray[VoxelT], affine: Affine) -> NDArray[VoxelT]:
    """Returns a view of `voxels` (X, Y, Z) with axes that point most to the right, the front and the head.

    It shares its memory with `voxels`: what is painted on one is on the other.
    """
    turned, _ = reorient(voxels, affine, "RAS")
    return turned


def slice_of(shown: NDArray[VoxelT], plane: Plane, index: int) -> NDArray[VoxelT]:
    """Returns a view (rows, columns) of slice `index` of a displayed array."""
    cut: NDArray[VoxelT] = np.moveaxis(shown, plane.axis, 0)[index]
    return cut[::-1, ::-1].T


def planes_of(volume: Volume) -> tuple[Plane, ...]:
    """Returns the axial, the coronal and the sagittal plane of a scan."""
    shown, affine = reorient(volume.voxels, volume.affine, "RAS")
    return tuple(_plane(shown.shape, affine, axis, name) for axis, name, _, _ in VIEWS)


def length_mm(plane: Plane, start: tuple[float, float], end: tuple[float, float]) -> float:
    """Returns the distance in mm between two points (column, row) of a slice."""
    across, down = end[0] - start[0], end[1] - start[1]
    a, b, c = plane.metric_mm2
    return float(np.sqrt(max(a * across**2 + 2.0 * b * across * down + c * down**2, 0.0)))


def _plane(shape: tuple[int, ...], affine: Affine, axis: int, name: str) -> Plane:
    across_axis, down_axis = (which for which in range(3) if which != axis)
    # Both run against the array's axes: to the patient's left or back, and towards the back or the feet.
    across, down = -affine[:3, across_axis], -affine[:3, down_axis]
    return Plane(
        name=name,
        axis=axis,
        slices=shape[axis],
        rows=shape[down_axis],
        columns=shape[across_axis],
        sides=(_side(-across), _side(across), _side(-down), _side(down)),
        metric_mm2=(float(across @ across), float(across @ down), float(down @ down)),
        tilt_degrees=_tilt(np.cross(across, down), axis),
    )


def _side(direction: NDArray[np.float64]) -> str:
    """Returns where a direction in RAS points, the larger part first.

    Source: PS3.3 C.7.6.1.1.1 (Patient Orientation).
    """
    share = direction / np.linalg.norm(direction)
    order = np.argsort(-np.abs(share))[:2]
    kept = [axis for place, axis in enumerate(order) if place == 0 or abs(share[axis]) >= _SECOND_SIDE]
    return "".join(_LETTERS[axis][int(share[axis] > 0)] for axis in kept)


def _tilt(normal: NDArray[np.float64], axis: int) -> float:
    cosine = abs(normal[axis]) / np.linalg.norm(normal)
    degrees = float(np.degrees(np.arccos(min(cosine, 1.0))))
    return round(degrees, 1) if degrees >= _OBLIQUE_DEGREES else 0.0
