"""Moves voxels to another orientation or voxel size, keeping every point where it is in the world.

Images are interpolated with cubic splines after a Gaussian that removes what the coarser grid cannot hold, and
kept within the range of the original; labels by the most probable class, which keeps thin structures and sharp
borders better than the nearest voxel.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.volume import Affine, check_shape, spacing_of

_SAME = 0.01
_TIE = 1e-4
_FWHM_TO_SIGMA = 1.0 / np.sqrt(8.0 * np.log(2.0))

VoxelT = TypeVar("VoxelT", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Grid:
    """Is where new voxels are taken from: source index = offset + step * new index, along each axis.

    Attributes:
        shape: New number of voxels.
        step: New voxel size over the old one.
        offset: Source index of the new voxel 0.
        affine: float64 (4, 4), new voxel indices to RAS millimetres.
    """

    shape: tuple[int, int, int]
    step: tuple[float, float, float]
    offset: tuple[float, float, float]
    affine: Affine

    @property
    def sigma(self) -> tuple[float, ...]:
        """Returns the anti-aliasing Gaussian's width in source voxels, 0 along axes that are not made coarser.

        Source: Cardoso et al. 2015, Scale factor point spread function matching.
        """
        return tuple(_FWHM_TO_SIGMA * float(np.sqrt(max(step**2 - 1.0, 0.0))) for step in self.step)


def reorient(voxels: NDArray[VoxelT], affine: Affine, orientation: str) -> tuple[NDArray[VoxelT], Affine]:
    """Flips and swaps axes so that they point as close to `orientation` as they can, without interpolation.

    Args:
        voxels: (X, Y, Z).
        affine: (4, 4), RAS millimetres; axes may be oblique.
        orientation: Three letters such as "RAS".

    Returns:
        The voxels and the affine that goes with them.
    """
    from nibabel.orientations import apply_orientation, inv_ornt_aff

    change = _turn(affine, orientation)
    turned: NDArray[VoxelT] = apply_orientation(voxels, change)
    return turned, np.asarray(affine @ inv_ornt_aff(change, voxels.shape), dtype=np.float64)


def turn_back(voxels: NDArray[VoxelT], affine: Affine, orientation: str) -> NDArray[VoxelT]:
    """Undoes `reorient`: returns (X, Y, Z) as they were before.

    It inverts the very turn that was made: at 45 degrees, where two turns are as good, none must be found anew.

    Args:
        voxels: What `reorient` made, or what lies on its grid.
        affine: (4, 4) of the volume before, as it was given to `reorient`.
        orientation: As it was given to `reorient`.
    """
    from nibabel.orientations import apply_orientation

    change = _turn(affine, orientation)
    inverse = np.empty_like(change)
    for axis, (new_axis, flip) in enumerate(change):
        inverse[int(new_axis)] = axis, flip
    turned: NDArray[VoxelT] = apply_orientation(voxels, inverse)
    return turned


def _turn(affine: Affine, orientation: str) -> NDArray[np.float64]:
    """Returns where each axis goes, and whether it is flipped, (3, 2), as nibabel has it."""
    from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

    change: NDArray[np.float64] = ornt_transform(io_orientation(affine), axcodes2ornt(tuple(orientation)))
    return change


def target_grid(shape: tuple[int, ...], affine: Affine, spacing_mm: tuple[float, float, float]) -> Grid | None:
    """Returns the grid with `spacing_mm` that covers the same box, or None if the volume has it within 1 %.

    Raises:
        GeometryError: The new volume would be too large or flat.
    """
    old = np.array(shape, dtype=np.float64)
    step = np.array(spacing_mm) / np.array(spacing_of(affine))
    if np.all(np.abs(step - 1.0) < _SAME):
        return None
    new = np.maximum(np.rint(old / step), 1.0)
    check_shape(tuple(int(size) for size in new))
    # Both boxes share their centre, so that half a voxel is never lost on one side only.
    offset = (old - 1.0 - (new - 1.0) * step) / 2.0
    change = np.eye(4)
    change[:3, :3], change[:3, 3] = np.diag(step), offset
    x, y, z = (int(size) for size in new)
    return Grid((x, y, z), _triple(step), _triple(offset), affine @ change)


def resample_image(voxels: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Returns `voxels` (X, Y, Z) on `grid`, float32, within the range of the original."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(voxels, grid.sigma, mode="nearest") if any(grid.sigma) else voxels
    return np.clip(_sample(smooth, grid, order=3), voxels.min(), voxels.max())


def resample_label(label: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """Returns the most probable class on `grid`, uint8; only classes of the original can appear.

    Each class is interpolated linearly and never smoothed, which would shrink what is convex or thin. Where classes
    are equally probable, as is common at twice the spacing, the nearest voxel decides, so that none is favoured.
    """
    result = np.asarray(_sample(label.astype(np.float32), grid, order=0), dtype=np.uint8)
    classes = np.unique(label)
    shares = {code: _sample((label == code).astype(np.float32), grid, order=1) for code in classes}
    best = np.select([result == code for code in classes], list(shares.values()))
    for code, share in shares.items():
        wins = share > best + _TIE
        best[wins], result[wins] = share[wins], code
    return result


def resample_linear(voxels: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Returns `voxels` (X, Y, Z) on `grid`, float32, interpolated linearly; beyond its edge, as at its edge."""
    return _sample(voxels, grid, order=1)


def _sample(voxels: NDArray[np.float32], grid: Grid, order: int) -> NDArray[np.float32]:
    from scipy import ndimage

    sampled = ndimage.affine_transform(
        voxels, grid.step, grid.offset, output_shape=grid.shape, order=order, mode="nearest"
    )
    return np.asarray(sampled, dtype=np.float32)


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
