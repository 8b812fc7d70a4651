"""Makes a volume out of a series of single-frame or enhanced images, or says why there is none.

Geometry comes from positions and orientations only, and nothing is filled in, resampled or put upright. Slices that
call themselves localizers, and copies of a slice, are left out and counted; everything else that is not one regular
stack is refused. What cannot be seen is not judged: a slice missing at either end leaves no trace.

There are two doors to the same work. `volume_of` is the one for cohorts and takes a series without its patient only;
`volume_of_study` is for results that go back into the hospital's own records, and nothing that trains uses it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from highdicom import VolumeGeometry
from numpy.typing import NDArray
from pydicom import Dataset

from fedvoxel.deid.series import DeidentifiedSeries
from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.study_series import StudySeries
from fedvoxel.errors import FedVoxelError
from fedvoxel.volumes.bids_sidecar import Sidecar, sidecar_of
from fedvoxel.volumes.frame_header import FrameHeader, frames_of
from fedvoxel.volumes.plane import Plane, is_localizer, plane_of, require_one_stack
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.rescale import rescales_of
from fedvoxel.volumes.stacking import at_one_place, geometry_of, in_order
from fedvoxel.volumes.volume import Volume, check_affine, check_shape

MODALITIES = ("CT", "MR", "PT")
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class DicomVolume:
    """Is a volume, and where in its series each of its slices comes from.

    Attributes:
        volume: The image: voxels (X, Y, Z) are (column, row, slice), the affine is RAS+ millimetres.
        geometry: The same grid as DICOM has it: LPS millimetres, axes (slice, row, column).
        slices: (instance, frame) of each slice, in the order of the geometry's first axis.
        sidecar: Fields of a BIDS sidecar.
        left_out: (what, how many) of the slices that were not used.
    """

    volume: Volume
    geometry: VolumeGeometry
    slices: tuple[tuple[int, int], ...]
    sidecar: Sidecar
    left_out: tuple[tuple[str, int], ...] = ()

    @staticmethod
    def to_grid(array: NDArray[Any]) -> NDArray[Any]:
        """Returns an array (slice, row, column) as (X, Y, Z) on the voxels of `volume`, without a copy."""
        return array.transpose(2, 1, 0)


class ImageSeries(Protocol):
    """Is what a volume and a label are made of: headers, and the pixels that go with them."""

    @property
    def modality(self) -> str:
        """Returns Modality."""

    @property
    def series_uid(self) -> str:
        """Returns SeriesInstanceUID."""

    @property
    def headers(self) -> tuple[Dataset, ...]:
        """Returns the objects without pixels."""

    def stored_pixels(self, index: int) -> NDArray[np.generic]:
        """Returns one object's stored values (frames, rows, columns)."""


def volume_of(series: DeidentifiedSeries) -> DicomVolume:
    """Returns the volume of a series.

    Pixels are decoded one file at a time into one float32 array: the peak is about 1.3 times the volume.

    Raises:
        GeometryError: The slices do not make a volume; `reason` says why.
        DicomError: A file cannot be read or decoded.
        DeidError: Its pixels hold more than the image's own bits.
        TypeError: The series did not come through de-identification.
    """
    if not isinstance(series, DeidentifiedSeries):
        raise TypeError("a volume is made of a DeidentifiedSeries only")
    return _read(series)


def volume_of_study(series: StudySeries) -> DicomVolume:
    """Returns the volume of a series as the hospital has it, judged as `volume_of` judges.

    Raises:
        GeometryError: The slices do not make a volume; `reason` says why.
        DicomError: A file cannot be read or decoded.
        TypeError: The series is not one of the hospital's own.
    """
    if not isinstance(series, StudySeries):
        raise TypeError("expected a StudySeries; a DeidentifiedSeries has its own door")
    return _read(series)


def _read(series: ImageSeries) -> DicomVolume:
    try:
        with quiet():
            return _volume_of(series)
    except FedVoxelError:
        raise
    except MemoryError:
        raise geometry_error("too_large", "the memory of this process does not suffice for the volume") from None
    except Exception as error:  # values of foreign bytes; the error's own text may quote the header
        raise dicom_error("malformed", f"a header is not as DICOM has it ({type(error).__name__})") from None


def _volume_of(series: ImageSeries) -> DicomVolume:
    if series.modality not in MODALITIES:
        raise geometry_error("unsupported_modality", f"expected one of {', '.join(MODALITIES)}")
    frames = frames_of(series.headers)
    images = [frame for frame in frames if not is_localizer(frame)]
    if not images:
        raise geometry_error("localizer_only", f"all {len(frames)} images are localizers")
    for header in series.headers:
        _require_grey(str(header.get("PhotometricInterpretation", "")))
    planes = in_order([plane_of(frame) for frame in images])
    require_one_stack(planes)
    pixels = _Pixels(series)
    kept = _without_copies(planes, pixels)
    geometry = geometry_of(kept)
    affine = _LPS_TO_RAS @ geometry.affine[:, [2, 1, 0, 3]]
    check_shape(geometry.spatial_shape)
    check_affine(affine)
    voxels = np.empty(geometry.spatial_shape, np.float32)
    rescales = rescales_of([plane.source for plane in kept], series.modality)
    for plane, rescale, out in zip(kept, rescales, voxels, strict=True):
        rescale.apply(pixels.of(plane.source), out)
    left_out = {"localizer": len(frames) - len(images), "repeated_slice": len(planes) - len(kept)}
    return DicomVolume(
        volume=Volume(DicomVolume.to_grid(voxels), affine),
        geometry=geometry,
        slices=tuple((plane.source.instance, plane.source.frame) for plane in kept),
        sidecar=sidecar_of([plane.source for plane in kept]),
        left_out=tuple((what, count) for what, count in left_out.items() if count),
    )


class _Pixels:
    """Reads frames, keeping the last file's only."""

    def __init__(self, series: ImageSeries) -> None:
        self._series = series
        self._instance = -1
        self._frames: NDArray[np.generic] = np.empty((0, 0, 0), np.uint8)

    def of(self, source: FrameHeader) -> NDArray[np.generic]:
        """Returns a frame's stored values (rows, columns)."""
        if source.instance != self._instance:
            self._frames = np.empty((0, 0, 0), np.uint8)
            self._frames = self._series.stored_pixels(source.instance)
            self._instance = source.instance
        frame: NDArray[np.generic] = self._frames[source.frame]
        return frame


def _require_grey(photometric: str) -> None:
    if photometric == "MONOCHROME1":
        raise geometry_error("inverted_image", "the image is stored with high values dark (MONOCHROME1)")
    if photometric != "MONOCHROME2":
        raise geometry_error("colour_image", "expected grey values (MONOCHROME2)")


def _without_copies(planes: Sequence[Plane], pixels: _Pixels) -> list[Plane]:
    """Returns planes that come in order, one for each place.

    Raises:
        GeometryError: several_volumes, when two slices at one place differ.
    """
    kept = [planes[0]]
    for plane in planes[1:]:
        if not at_one_place(kept[-1], plane):
            kept.append(plane)
        elif not _is_copy(kept[-1], plane, pixels):
            raise geometry_error("several_volumes", "two slices at one place have different pixels")
    return kept


def _is_copy(first: Plane, second: Plane, pixels: _Pixels) -> bool:
    keywords = ("RescaleSlope", "RescaleIntercept")
    if any(first.source.numbers(keyword, 1) != second.source.numbers(keyword, 1) for keyword in keywords):
        return False
    return np.array_equal(pixels.of(first.source), pixels.of(second.source))
