"""Where the slices of a series lie, and which of them belong into one volume."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.volumes.frame_header import FrameHeader
from fedvoxel.volumes.refusal import Reason, geometry_error

_COSINE_TOLERANCE = 1e-4
_EXACT_COSINES = 5e-5
"""Up to where cosines count as orthonormal, in elements of their Gram matrix; highdicom accepts 1e-4."""

_ROUNDED_COSINES = 2e-3
"""What rounding to three decimals does to them: 2 sqrt(3) 0.0005 at most."""

_SPACING_TOLERANCE = 1e-4
_NUMBERS_APART = (
    *("TemporalPositionIdentifier", "TemporalPositionIndex", "EchoNumbers", "EchoTime", "EffectiveEchoTime"),
    *("DiffusionBValue", "DiffusionGradientOrientation", "InversionTime", "NominalCardiacTriggerDelayTime"),
    *("NominalPercentageOfCardiacPhase", "RepetitionTime", "FlipAngle", "KVP"),
)
_WORDS_APART = (
    *("StackID", "ComplexImageComponent", "ImageType", "FrameType", "ConvolutionKernel", "Units", "InversionTimes"),
)
"""What tells the volumes of one series apart: time, echo, diffusion weighting, magnitude or phase, another protocol."""


@dataclass(frozen=True, eq=False)
class Plane:
    """Is where one slice lies, in LPS millimetres.

    Attributes:
        source: The frame that holds it.
        position_mm: Centre of the first pixel (ImagePositionPatient).
        orientation: Unit vectors along a row and along a column (ImageOrientationPatient).
        spacing_mm: Distance between rows and between columns (PixelSpacing).
        size: Rows and columns.
    """

    source: FrameHeader
    position_mm: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing_mm: tuple[float, ...]
    size: tuple[int, int]


def plane_of(source: FrameHeader) -> Plane:
    """Returns where a frame lies.

    Raises:
        GeometryError: no_positions, no_orientation or implausible_spacing.
        DicomError: no_pixels.
    """
    position = source.numbers("ImagePositionPatient", 3)
    orientation = source.numbers("ImageOrientationPatient", 6)
    spacing = source.numbers("PixelSpacing", 2)
    if position is None:
        raise geometry_error("no_positions", "a slice does not say where it lies (ImagePositionPatient)")
    if orientation is None:
        raise geometry_error("no_orientation", "a slice does not say how it is turned (ImageOrientationPatient)")
    if spacing is None or min(spacing) <= 0:
        raise geometry_error("implausible_spacing", "a slice does not say how large its pixels are (PixelSpacing)")
    rows, columns = source.numbers("Rows", 1), source.numbers("Columns", 1)
    if rows is None or columns is None:
        raise dicom_error("no_pixels", "the header promises no pixels")
    return Plane(source, position, _orthonormal(orientation), spacing, (int(rows[0]), int(columns[0])))


def is_localizer(source: FrameHeader) -> bool:
    """Says whether a frame calls itself a localizer. Source: PS3.3 C.7.6.1.1.2 and C.8.2.1.1.1."""
    return "LOCALIZER" in {*source.words("ImageType")[2:], *source.words("FrameType")[2:]}


def require_one_stack(planes: Sequence[Plane]) -> None:
    """Refuses slices that do not belong into one volume.

    Raises:
        GeometryError: several_volumes, mixed_orientations, mixed_sizes, mixed_spacings or mixed_frames_of_reference.
    """
    values = {keyword: {_values(plane.source, keyword) for plane in planes} for keyword in _NUMBERS_APART}
    words = {keyword: {plane.source.words(keyword) for plane in planes} for keyword in _WORDS_APART}
    differing = [keyword for keyword, found in (values | words).items() if len(found) > 1]
    if differing:
        raise geometry_error("several_volumes", f"the slices differ in {', '.join(differing)}")
    frames = {str(plane.source.header.get("FrameOfReferenceUID", "")) for plane in planes}
    _require_one("mixed_frames_of_reference", "frames of reference", len(frames))
    _require_one("mixed_sizes", "numbers of rows and columns", len({plane.size for plane in planes}))
    orientations = np.array([plane.orientation for plane in planes])
    _require_one("mixed_orientations", "orientations", _groups(orientations, _COSINE_TOLERANCE))
    spacings = np.log([plane.spacing_mm for plane in planes])
    _require_one("mixed_spacings", "pixel spacings", _groups(spacings, _SPACING_TOLERANCE))


def _values(source: FrameHeader, keyword: str) -> tuple[float | str, ...]:
    """Returns an attribute's numbers, however they are written ("4.6" or "4.60"); what is no number, as it is."""
    words = source.words(keyword)
    try:
        numbers = tuple(float(word) for word in words)
    except ValueError:
        return words
    return numbers if all(map(math.isfinite, numbers)) else words


def _require_one(reason: Reason, what: str, count: int) -> None:
    if count > 1:
        raise geometry_error(reason, f"the slices have {count} {what}")


def _groups(rows: NDArray[np.float64], tolerance: float) -> int:
    """Returns about how many different rows (N, K) there are; 1 if none is further than `tolerance` from the first."""
    if np.abs(rows - rows[0]).max() <= tolerance:
        return 1
    ordered = sorted(map(tuple, rows.tolist()))
    return max(2, 1 + sum(bool(np.abs(np.subtract(a, b)).max() > tolerance) for a, b in pairwise(ordered)))


def _orthonormal(orientation: tuple[float, ...]) -> tuple[float, ...]:
    """Returns the cosines as they are, or where they were written with few decimals, the nearest orthonormal ones.

    Source: the nearest matrix with orthonormal rows is the orthogonal factor of the polar decomposition.
    """
    axes = np.reshape(orientation, (2, 3))
    off = float(np.abs(axes @ axes.T - np.eye(2)).max())
    if off > _ROUNDED_COSINES:
        raise geometry_error("no_orientation", "the axes of a slice are not at right angles (ImageOrientationPatient)")
    if off <= _EXACT_COSINES:
        return orientation
    left, _, right = np.linalg.svd(axes, full_matrices=False)
    return tuple((left @ right).ravel().tolist())
