"""A volume that can be trusted: 3-D, finite, not constant, with an invertible affine in millimetres.

Convention: RAS+ millimetres, as NIfTI and MONAI have it. An invalid `Volume` cannot be made: the constructor
refuses it, so that no later station has to look again. It never repairs or invents geometry.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.refusal import geometry_error

SPACING_RANGE_MM = (0.05, 20.0)
MAX_VOXELS = 2**28
_LEAST_SQUARENESS = 0.1
_PART = 2**18

Affine = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Volume:
    """Is an image on a regular grid.

    Attributes:
        voxels: float32 (X, Y, Z), finite, read-only.
        affine: float64 (4, 4), voxel indices to RAS millimetres, read-only.

    Raises:
        GeometryError: With the reason not_3d, too_large, singular_affine, implausible_spacing, non_finite or
            constant_image.
    """

    voxels: NDArray[np.float32]
    affine: Affine

    def __post_init__(self) -> None:
        """Copies the affine, freezes both arrays and refuses what cannot be trusted."""
        affine = np.array(self.affine, dtype=np.float64)
        check_shape(self.voxels.shape)
        check_affine(affine)
        with np.errstate(over="ignore"):
            voxels = self.voxels.astype(np.float32, copy=False).view()
        _check_values(voxels)
        for name, array in (("voxels", voxels), ("affine", affine)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Returns the number of voxels along each axis."""
        x, y, z = self.voxels.shape
        return int(x), int(y), int(z)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Returns the distance between neighbouring voxels along each axis, in millimetres."""
        return spacing_of(self.affine)


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """Is an image and its label on the same grid.

    Attributes:
        case: The case's pseudonym.
        image: The image.
        label: uint8 (X, Y, Z), 0 is background, 1 + i is the job's class i.
    """

    case: str
    image: Volume
    label: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Refuses a label that is not on the image's grid."""
        if self.label.shape != self.image.shape:
            raise geometry_error("shape_mismatch", _shapes(self.image.shape, self.label.shape))


def check_shape(shape: tuple[int, ...]) -> None:
    """Refuses what is not 3-D, is flat, or is larger than `MAX_VOXELS`.

    Raises:
        GeometryError: not_3d or too_large.
    """
    if len(shape) != 3 or min(shape) < 2:
        raise geometry_error("not_3d", f"expected a 3-D volume, got the shape {_times(shape)}")
    if math.prod(shape) > MAX_VOXELS:
        raise geometry_error("too_large", f"expected at most {MAX_VOXELS} voxels, got {_times(shape)}")


def check_affine(affine: Affine) -> None:
    """Refuses an affine (4, 4) that cannot be inverted or whose spacing is not that of a scan.

    Raises:
        GeometryError: singular_affine or implausible_spacing.
    """
    proper = affine.shape == (4, 4) and bool(np.isfinite(affine).all()) and np.array_equal(affine[3], (0, 0, 0, 1))
    spacing = np.linalg.norm(affine[:3, :3], axis=0) if proper else np.zeros(3)
    # The determinant of the unit columns: 1 for perpendicular axes, 0 when an axis is lost.
    squareness = abs(np.linalg.det(affine[:3, :3] / spacing)) if spacing.all() else 0.0
    if not squareness > _LEAST_SQUARENESS:
        raise geometry_error("singular_affine", "the affine cannot be inverted")
    low, high = SPACING_RANGE_MM
    if spacing.min() < low or spacing.max() > high:
        text = " x ".join(f"{value:.3g}" for value in spacing)
        raise geometry_error("implausible_spacing", f"expected voxels of {low} to {high} mm, got {text} mm")


def spacing_of(affine: Affine) -> tuple[float, float, float]:
    """Returns the length of the affine's three axes, in millimetres."""
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0)
    return float(x), float(y), float(z)


def _check_values(voxels: NDArray[np.float32]) -> None:
    low, high = _extremes(voxels)
    if not (math.isfinite(low) and math.isfinite(high)):
        wrong = voxels.size - int(np.count_nonzero(np.isfinite(voxels)))
        raise geometry_error("non_finite", f"{wrong} of {voxels.size} voxels are NaN or infinite as float32")
    if low == high:
        raise geometry_error("constant_image", "all voxels have the same value")


def _extremes(voxels: NDArray[np.float32]) -> tuple[float, float]:
    """Returns the least and the largest value, NaN if any voxel is; looks at each part once, and copies none."""
    flat = voxels.ravel(order="K")
    parts = [flat[start : start + _PART] for start in range(0, flat.size, _PART)]
    lows, highs = zip(*((part.min(), part.max()) for part in parts), strict=True)
    return float(np.min(lows)), float(np.max(highs))


def _shapes(image: tuple[int, ...], label: tuple[int, ...]) -> str:
    return f"the image has the shape {_times(image)}, the label {_times(label)}"


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)
