"""Where the pixels of a single DICOM frame lie in the grid of an image.

A frame fits when its pixels are voxels of the image: it may be turned, mirrored or cut out, but is never resampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.label_canvas import Indices
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.volume import Affine

OFF_GRID_VOXELS = 0.25
"""How far, in voxels of the image, a label's pixel may lie from the voxel that it stands for."""


@dataclass(frozen=True)
class FramePlane:
    """Is a frame's plane as DICOM describes it, in LPS millimetres.

    Attributes:
        position_mm: Centre of the first pixel (ImagePositionPatient).
        orientation: Unit vectors along a row and along a column (ImageOrientationPatient).
        spacing_mm: Distance between rows and between columns (PixelSpacing).
    """

    position_mm: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, ...]

    @classmethod
    def of(cls, position: Sequence[float], orientation: Sequence[float], spacing: Sequence[float]) -> "FramePlane":
        """Returns the plane that three DICOM attributes describe.

        Raises:
            GeometryError: malformed_label, when one of them has the wrong count or is not finite.
        """
        parts = tuple(tuple(float(value) for value in part) for part in (position, orientation, spacing))
        if tuple(map(len, parts)) != (3, 6, 2) or not all(np.isfinite(part).all() for part in parts):
            raise geometry_error("malformed_label", "a frame's position, orientation or pixel spacing is not proper")
        return cls(*parts)

    def affine_mm(self) -> NDArray[np.float64]:
        """Returns the matrix (4, 3) from (row, column, 1) to LPS millimetres.

        Source: PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1 (with the columns for row and column index exchanged).
        """
        along_row, along_column = np.reshape(self.orientation, (2, 3))
        columns = (self.spacing_mm[0] * along_column, self.spacing_mm[1] * along_row, self.position_mm)
        return np.vstack([np.stack(columns, axis=1), (0.0, 0.0, 1.0)])


@dataclass(frozen=True, eq=False)
class FramePlace:
    """Maps a frame's pixels to voxels: voxel = steps @ (row, column) + origin.

    Attributes:
        steps: Whole numbers (3, 2); both columns are plus or minus a unit vector, along different axes.
        origin: Whole numbers (3,), the voxel of the first pixel; may lie outside of the image.
    """

    steps: NDArray[np.intp]
    origin: NDArray[np.intp]

    def indices(self, mask: NDArray[np.bool_]) -> Indices:
        """Returns the voxels of the pixels that are set in `mask` (rows, columns), one array for each axis."""
        row, column = np.nonzero(mask)
        first, second, third = (
            step[0] * row + step[1] * column + start for step, start in zip(self.steps, self.origin, strict=True)
        )
        return first, second, third


def place_frame(plane: FramePlane, size: tuple[int, int], inverse: Affine) -> FramePlace:
    """Finds the voxels of a frame.

    Args:
        plane: Where the frame lies.
        size: Its rows and columns.
        inverse: The affine (4, 4) from LPS millimetres to the image's indices (slice, row, column).

    Raises:
        GeometryError: affine_mismatch, when a pixel would lie more than `OFF_GRID_VOXELS` from its voxel.
    """
    exact = (inverse @ plane.affine_mm())[:3]
    if not np.isfinite(exact).all() or np.abs(exact).max() > np.iinfo(np.int32).max:
        raise geometry_error("affine_mismatch", "the label lies far away from the image")
    whole = np.rint(exact).astype(np.intp)
    corners = np.array([(row, column, 1) for row in (0, size[0] - 1) for column in (0, size[1] - 1)])
    off = float(np.abs((exact - whole) @ corners.T).max())
    if off > OFF_GRID_VOXELS or not _is_turned_unit(whole[:, :2]):
        raise geometry_error("affine_mismatch", "the label's pixels are not voxels of the image")
    return FramePlace(whole[:, :2], whole[:, 2])


def _is_turned_unit(steps: NDArray[np.intp]) -> bool:
    return bool(np.array_equal(steps.T @ steps, np.eye(2)))
