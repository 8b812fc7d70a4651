"""Brings what a network found on the prepared grid back to the voxels of the original image."""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.plan import PreparedImage
from fedvoxel.volumes.resampling import Grid, resample_linear, turn_back
from fedvoxel.volumes.volume import Affine


def label_on_original(probabilities: NDArray[np.float32], prepared: PreparedImage) -> NDArray[np.uint8]:
    """Returns the most probable class of each voxel of the original image.

    Where the plan kept the voxel size no value is interpolated; else probabilities are, linearly and one class at a
    time, and the first of equally probable classes wins.

    Args:
        probabilities: (classes, X, Y, Z) on the prepared grid, at most 256 classes.
        prepared: The image that they were found on.

    Returns:
        uint8, of the original's shape.
    """
    if prepared.grid is None:
        label = most_probable(probabilities)
    else:
        back = _way_back(prepared.grid, prepared.turned_shape)
        label = np.zeros(back.shape, np.uint8)
        best = resample_linear(probabilities[0], back)
        for code in range(1, len(probabilities)):
            found = resample_linear(probabilities[code], back)
            label[found > best] = code
            np.maximum(best, found, out=best)
    return np.ascontiguousarray(turn_back(label, prepared.original_affine, prepared.orientation))


def values_on_original(values: NDArray[np.float32], prepared: PreparedImage) -> NDArray[np.float32]:
    """Returns a value of the prepared grid, such as an uncertainty, on the voxels of the original, linearly between.

    Args:
        values: float32 (X, Y, Z) on the prepared grid.
        prepared: The image that they were found on.
    """
    back = values if prepared.grid is None else resample_linear(values, _way_back(prepared.grid, prepared.turned_shape))
    return np.ascontiguousarray(turn_back(back, prepared.original_affine, prepared.orientation))


def most_probable(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Returns the index of the largest along the first axis, a plane at a time: argmax makes 64-bit numbers."""
    planes = [probabilities[:, x].argmax(axis=0).astype(np.uint8) for x in range(probabilities.shape[1])]
    return np.stack(planes)


def _way_back(grid: Grid, shape: tuple[int, ...]) -> Grid:
    """Returns the grid of the volume that `grid` was taken from, in indices of `grid`."""
    x, y, z = (1.0 / step for step in grid.step)
    a, b, c = (-offset / step for offset, step in zip(grid.offset, grid.step, strict=True))
    source = np.eye(4)
    source[:3, :3], source[:3, 3] = np.diag((x, y, z)), (a, b, c)
    i, j, k = shape
    affine: Affine = grid.affine @ source
    return Grid((i, j, k), (x, y, z), (a, b, c), affine)
