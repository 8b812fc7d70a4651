"""Stacks slices into a regular grid, or says what is wrong with them.

Whether slices make a grid is highdicom's judgement, which fills no gap and guesses no spacing. A second look here is
stricter about slices that slide sideways (a tilted gantry), and puts the reason into millimetres and degrees.
"""

from collections.abc import Sequence

import numpy as np
from highdicom import VolumeGeometry
from highdicom.spatial import get_normal_vector, get_volume_positions
from numpy.typing import NDArray

from fedvoxel.errors import GeometryError
from fedvoxel.volumes.plane import Plane
from fedvoxel.volumes.refusal import geometry_error

OFF_GRID_VOXELS = 0.1
"""How far a slice may lie from its place in the grid, in shares of the smallest voxel side."""

SAME_PLACE_MM = 0.01
_ROWS_THEN_COLUMNS = "DR"
_SPACING_TOLERANCE = 0.01
_WHOLE_TOLERANCE = 0.05
_MOST_USUAL_STEPS = 3
"""One slice almost upon another makes a gap so small that all the others seem to have lost hundreds of slices."""

_LEAST_TILT_DEGREES = 0.05

Points = NDArray[np.float64]


def in_order(planes: Sequence[Plane]) -> list[Plane]:
    """Returns the planes sorted along their common normal, against which highdicom counts slices."""
    normal = _normal(planes[0])
    return sorted(planes, key=lambda plane: float(np.dot(plane.position_mm, normal)))


def at_one_place(first: Plane, second: Plane) -> bool:
    """Says whether two slices lie at the same place."""
    distance_mm = np.linalg.norm(np.subtract(first.position_mm, second.position_mm))
    return bool(distance_mm <= SAME_PLACE_MM)


def geometry_of(planes: Sequence[Plane]) -> VolumeGeometry:
    """Returns the grid of planes that come in order, in LPS millimetres, axes slice, row, column.

    Raises:
        GeometryError: single_slice, gantry_tilt, missing_slices, irregular_spacing or irregular_positions.
    """
    if len(planes) < 2:
        raise geometry_error("single_slice", "the series has one slice only")
    first = planes[0]
    points = np.array([plane.position_mm for plane in planes])
    spacing_mm, places = get_volume_positions(points.tolist(), first.orientation, rtol=_SPACING_TOLERANCE)
    if spacing_mm is None or places != list(range(len(planes))):
        raise _explanation(points, first)
    geometry = VolumeGeometry.from_attributes(
        image_position=first.position_mm,
        image_orientation=first.orientation,
        rows=first.size[0],
        columns=first.size[1],
        pixel_spacing=first.spacing_mm,
        spacing_between_slices=spacing_mm,
        number_of_frames=len(planes),
        coordinate_system="PATIENT",
        frame_of_reference_uid=first.source.header.get("FrameOfReferenceUID") or None,
    )
    steps = np.arange(len(planes))[:, None] * geometry.affine[:3, 0]
    off_mm = float(np.linalg.norm(points - points[0] - steps, axis=1).max())
    if off_mm > OFF_GRID_VOXELS * min(spacing_mm, *first.spacing_mm):
        raise _explanation(points, first)
    return geometry


def _normal(plane: Plane) -> Points:
    """Returns the unit vector (3,) along which highdicom stacks slices: (slice, row, column) is right-handed."""
    return np.asarray(get_normal_vector(plane.orientation, index_convention=_ROWS_THEN_COLUMNS))


def _explanation(points: Points, plane: Plane) -> GeometryError:
    """Returns the error for points (N, 3), sorted along the normal, that make no regular grid."""
    normal = _normal(plane)
    gaps_mm = np.diff(points @ normal)
    whole = points[-1] - points[0]
    along_mm = float(whole @ normal)
    sideways_mm = float(np.linalg.norm(whole - along_mm * normal))
    if gaps_mm.min() <= SAME_PLACE_MM:
        return geometry_error("irregular_positions", "slices lie beside each other in one plane")
    uneven = _uneven_gaps(gaps_mm)
    if uneven is not None:
        return uneven
    degrees = float(np.degrees(np.arctan2(sideways_mm, along_mm)))
    if degrees >= _LEAST_TILT_DEGREES:
        found = f"the slices are stacked {degrees:.2f} degrees off their normal, {sideways_mm:.3g} mm from end to end"
        return geometry_error("gantry_tilt", found)
    return geometry_error("irregular_positions", "the slices do not lie on one line")


def _uneven_gaps(gaps_mm: Points) -> GeometryError | None:
    least, most = float(gaps_mm.min()), float(gaps_mm.max())
    mean = float(gaps_mm.mean())
    if np.abs(gaps_mm - mean).max() <= _SPACING_TOLERANCE * mean:
        return None
    steps = gaps_mm / np.median(gaps_mm[gaps_mm < 1.5 * least])
    plausible = np.median(steps) <= _MOST_USUAL_STEPS
    if plausible and np.abs(steps - np.rint(steps)).max() <= _WHOLE_TOLERANCE and np.rint(steps).max() > 1:
        missing = int(np.rint(steps).sum() - steps.size)
        found = f"{missing} slices are missing: gaps of {least:.4g} mm, but up to {most:.4g} mm"
        return geometry_error("missing_slices", found)
    return geometry_error("irregular_spacing", f"the slices lie between {least:.4g} and {most:.4g} mm apart")
