"""Fills polygons in a plane of pixels, exactly and in time that grows with their outline, not with their area.

A pixel belongs to a figure when its centre lies inside of it or on its outline. Inside is what an odd number of
outlines goes around: a contour within another is a hole, and so is what a keyhole leaves out, whose channel cancels
itself.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.refusal import geometry_error

MAX_CROSSINGS = 2**24
"""How many times the outlines in one plane may cross a row of pixel centres."""

_DIGITS = 6  # millionths of a pixel, which is what a decimal string in millimetres is good for

Points = NDArray[np.float64]


def fill_polygons(polygons: Iterable[Points], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fills closed polygons by the even-odd rule.

    Args:
        polygons: Corners (N, 2) as (row, column) in pixels, 0 being the first pixel's centre; N may be 1 or 2.
        shape: Rows and columns of the plane; what lies outside of it is left out.

    Returns:
        The pixels (rows, columns) that belong to the figure.

    Raises:
        GeometryError: malformed_label, when the outlines are too long.

    Source: PS3.3 C.8.8.6.3 (CLOSED_PLANAR, CLOSEDPLANAR_XOR and keyholes in structure sets).
    """
    odd = np.zeros((shape[0], shape[1] + 1), dtype=np.uint8)
    edge = np.zeros(shape, dtype=bool)
    left = MAX_CROSSINGS
    for polygon in polygons:
        corners = np.round(polygon, _DIGITS)
        starts, ends = corners, np.roll(corners, -1, axis=0)
        level = starts[:, 0] == ends[:, 0]
        left -= _cross(starts[~level], ends[~level], odd, edge, left)
        left -= _run_along(starts[level], ends[level], edge, left)
    edge |= np.bitwise_xor.accumulate(odd, axis=1)[:, :-1] == 1
    return edge


def _cross(starts: Points, ends: Points, odd: NDArray[np.uint8], edge: NDArray[np.bool_], left: int) -> int:
    """Notes where lines that are not level cross rows of pixel centres; returns how often they do."""
    low, high = np.minimum(starts[:, 0], ends[:, 0]), np.maximum(starts[:, 0], ends[:, 0])
    line, row = _steps(low, high, odd.shape[0], left)
    slope = (ends[line, 1] - starts[line, 1]) / (ends[line, 0] - starts[line, 0])
    column = np.round(starts[line, 1] + (row - starts[line, 0]) * slope, _DIGITS)
    # A line holds its upper end and not its lower one, so that a corner is crossed once.
    held = row < high[line]
    after = np.clip(np.ceil(column[held]), 0, odd.shape[1] - 1).astype(np.intp)
    np.bitwise_xor.at(odd, (row[held], after), np.uint8(1))
    centre = (column == np.rint(column)) & (column >= 0) & (column < edge.shape[1])
    edge[row[centre], column[centre].astype(np.intp)] = True
    return row.size


def _run_along(starts: Points, ends: Points, edge: NDArray[np.bool_], left: int) -> int:
    """Marks the pixel centres that level lines run through; returns how many."""
    row = starts[:, 0]
    through = (row == np.rint(row)) & (row >= 0) & (row < edge.shape[0])
    starts, ends = starts[through], ends[through]
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    line, column = _steps(low, high, edge.shape[1], left)
    edge[starts[line, 0].astype(np.intp), column] = True
    return column.size


def _steps(low: Points, high: Points, size: int, left: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns every whole number from `low` to `high`, both included, within 0 .. size - 1, with its line."""
    first = np.ceil(np.clip(low, 0, size)).astype(np.intp)
    last = np.floor(np.clip(high, -1, size - 1)).astype(np.intp)
    counts = np.maximum(last - first + 1, 0)
    if int(counts.sum()) > left:
        raise geometry_error("malformed_label", "a contour is longer than that of any organ")
    line = np.repeat(np.arange(low.size), counts)
    begins = np.cumsum(counts) - counts
    return line, np.arange(line.size) - begins[line] + first[line]
