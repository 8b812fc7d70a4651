"""Paints the structures of an RTSTRUCT onto the image that they were drawn on.

Contours must be closed, flat, and on slices of the image; nothing is filled in between slices. A structure that no
class asks for is passed over, whatever its contours are. A contour that names a slice has to lie on it; one that is
listed twice is one. A structure that is not in the image's frame of reference is
taken only where each contour names the very slice that it lies on: some tools invent a frame of reference each time.

Source: PS3.3 C.8.8.5 (Structure Set), C.8.8.6 (ROI Contour), C.8.8.8 (RT ROI Observations).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.frame_place import OFF_GRID_VOXELS
from fedvoxel.volumes.label_canvas import LabelCanvas
from fedvoxel.volumes.label_names import LabelNames, class_of, codes_of
from fedvoxel.volumes.polygon_fill import fill_polygons
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.slice_places import Places, slice_places

if TYPE_CHECKING:
    from fedvoxel.deid.series import DeidentifiedSeries
    from fedvoxel.volumes.dicom_volume import DicomVolume

MAX_POINTS = 2**22
"""How many points the contours of one structure may have together."""

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")

Polygons = dict[int, list[NDArray[np.float64]]]
"""Corners (N, 2) of polygons by slice, as (row, column) in pixels."""


@dataclass(frozen=True)
class Structure:
    """Is a structure that a class asks for.

    Attributes:
        class_index: The class.
        same_frame: Whether it says to be in the image's frame of reference.
    """

    class_index: int
    same_frame: bool


@dataclass(frozen=True, eq=False)
class Contour:
    """Is a contour as it was read.

    Attributes:
        points_mm: Points (N, 3) in LPS millimetres.
        drawn_on: The instances that it says to have been drawn on.
        exclusive: Whether it is to be combined by exclusive or, so that a second one alike takes the first away.
    """

    points_mm: NDArray[np.float64]
    drawn_on: frozenset[str]
    exclusive: bool


def paint_structures(
    series: "DeidentifiedSeries", image: "DicomVolume", image_series: "DeidentifiedSeries", names: LabelNames
) -> LabelCanvas:
    """Paints the one structure set of a series that refers to the image.

    Args:
        series: The structure set.
        image: The image's volume.
        image_series: The series that the volume was made of.
        names: The names of each class.

    Raises:
        GeometryError: The label cannot be used.
    """
    canvas = LabelCanvas(image.geometry.spatial_shape)
    header = _header_for(series, image_series)
    places = slice_places(image, image_series)
    for number, structure in _structures(header, image_series, names).items():
        for slice_index, polygons in _on_slices(_contours(header, number), structure, image, places).items():
            row, column = np.nonzero(fill_polygons(polygons, canvas.plane))
            canvas.paint((np.full_like(row, slice_index), row, column), structure.class_index)
    return canvas


def _header_for(series: "DeidentifiedSeries", image_series: "DeidentifiedSeries") -> Any:
    chosen = [header for header in series.headers if _refers(header, image_series)]
    if not chosen:
        raise geometry_error("label_other_image", "the structure set does not refer to this image")
    if len(chosen) > 1:
        raise geometry_error("several_labels", f"the series holds {len(chosen)} structure sets for this image")
    return chosen[0]


def _refers(header: Any, image_series: "DeidentifiedSeries") -> bool:
    """Says whether a structure set names the image's series, or no series at all."""
    named = {
        series.get("SeriesInstanceUID")
        for frame in header.get("ReferencedFrameOfReferenceSequence") or ()
        for study in frame.get("RTReferencedStudySequence") or ()
        for series in study.get("RTReferencedSeriesSequence") or ()
    }
    return not named or image_series.series_uid in named


def _structures(header: Any, image_series: "DeidentifiedSeries", names: LabelNames) -> dict[int, Structure]:
    """Returns the structures that a class asks for, by their number."""
    frame = image_series.headers[0].get("FrameOfReferenceUID")
    codes: dict[int, list[str]] = defaultdict(list)
    for seen in header.get("RTROIObservationsSequence") or ():
        codes[int(seen.ReferencedROINumber)] += codes_of(seen.get("RTROIIdentificationCodeSequence") or ())
    found: dict[int, Structure] = {}
    for roi in header.get("StructureSetROISequence") or ():
        number = int(roi.ROINumber)
        index = class_of([str(roi.get("ROIName", "")), *codes[number]], names)
        if index is None:
            continue
        if number in found:
            raise geometry_error("malformed_label", "two structures have the same number")
        found[number] = Structure(index, bool(frame) and roi.get("ReferencedFrameOfReferenceUID") == frame)
    return found


def _contours(header: Any, number: int) -> Iterator[Contour]:
    """Yields the contours of a structure."""
    left = MAX_POINTS
    for item in header.get("ROIContourSequence") or ():
        if int(item.ReferencedROINumber) != number:
            continue
        for contour in item.get("ContourSequence") or ():
            if contour.get("ContourGeometricType") not in _CLOSED:
                raise geometry_error("unsupported_label", "a structure has contours that are not closed and planar")
            points = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
            left -= len(points)
            if not len(points) or not np.isfinite(points).all() or left < 0:
                raise geometry_error("malformed_label", "a structure has no proper contours, or too many points")
            images = contour.get("ContourImageSequence") or ()
            drawn_on = frozenset(str(known.get("ReferencedSOPInstanceUID")) for known in images)
            yield Contour(points, drawn_on, contour.ContourGeometricType == "CLOSEDPLANAR_XOR")


def _on_slices(contours: Iterator[Contour], structure: Structure, image: "DicomVolume", places: Places) -> Polygons:
    """Brings a structure's contours from millimetres to the image's slices."""
    inverse = np.linalg.inv(image.geometry.affine)
    found: Polygons = defaultdict(list)
    for contour in contours:
        if contour.drawn_on - set(places):
            raise geometry_error("label_other_image", "a contour was drawn on an image that is not in the series")
        indices = contour.points_mm @ inverse[:3, :3].T + inverse[:3, 3]
        at = _slice_of(indices, image.geometry.spatial_shape)
        named = any(places[uid] in (None, at) for uid in contour.drawn_on)
        if not structure.same_frame and not (named and len(contour.drawn_on) == 1):
            raise geometry_error("label_other_image", "a structure is not in the image's frame of reference")
        if contour.drawn_on and not named:
            raise geometry_error("malformed_label", "a contour lies on another slice than the one that it names")
        polygon = indices[:, 1:]
        if contour.exclusive or not any(np.array_equal(polygon, known) for known in found[at]):
            found[at].append(polygon)
    return found


def _slice_of(indices: NDArray[np.float64], shape: Sequence[int]) -> int:
    """Returns the slice that a contour (slice, row, column) lies on."""
    at = np.rint(indices[0, 0])
    if np.abs(indices[:, 0] - at).max() > OFF_GRID_VOXELS:
        raise geometry_error("contours_off_slices", "a contour lies between or across the image's slices")
    # A pixel's centre can be inside only if the contour reaches it.
    beyond = np.any(indices[:, 1:] < -1) or np.any(indices[:, 1:] > shape[1:])
    if not 0 <= at < shape[0] or beyond:
        raise geometry_error("label_outside_image", "a contour lies outside of the image")
    return int(at)
