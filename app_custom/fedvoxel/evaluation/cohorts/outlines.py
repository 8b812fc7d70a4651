"""Traces a mask's outline as closed lines, so that it can be drawn sharp at any size."""

import numpy as np
from numpy.typing import NDArray

Ring = tuple[tuple[float, float], ...]
"""A closed line: points (x, y) in pixels from the picture's top left corner; the first follows the last."""


def outline_of(mask: NDArray[np.bool_]) -> tuple[Ring, ...]:
    """Returns the outline of the pixels that are set.

    Args:
        mask: (rows, columns), as the picture is shown.

    Returns:
        One ring for each connected border, holes included; what touches the picture's edge is closed there.
    """
    from contourpy import contour_generator

    if not mask.any():
        return ()
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    inside = np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1).astype(np.float64)
    # A padded pixel (row, column) has its centre half a pixel before the pixel's own corner.
    shift = np.array((left - 0.5, top - 0.5))
    return tuple(_without_straight_points(np.asarray(line) + shift) for line in contour_generator(z=inside).lines(0.5))


def _without_straight_points(line: NDArray[np.float64]) -> Ring:
    """Returns the ring without its repeated end and without points that lie on the way between their neighbours."""
    points = line[:-1]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    kept = points[turns] if turns.any() else points
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in kept)
