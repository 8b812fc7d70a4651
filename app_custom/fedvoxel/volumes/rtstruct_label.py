"""Paints the structures of an RTSTRUCT onto the image that they were drawn on.

Contours must be closed, flat, and on slices of the image; nothing is filled in between slices. A structure that no
class asks for is passed over, whatever its contours are.

Source: PS3.3 C.8.8.5 (Structure Set), C.8.8.6 (ROI Contour), C.8.8.8 (RT ROI Observations).
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.frame_place import OFF_GRID_VOXELS
from fedvoxel.volumes.label_canvas import LabelCanvas
from fedvoxel.volumes.label_names import LabelNames, class_of, codes_of
from fedvoxel.volumes.polygon_fill import fill_polygons
from fedvoxel.volumes.refusal import geometry_error

if TYPE_CHECKING:
    from fedvoxel.deid.series import DeidentifiedSeries
    from fedvoxel.volumes.dicom_volume import DicomVolume

MAX_POINTS = 2**22
"""How many points the contours of one structure may have together."""

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")

Contours = dict[int, list[NDArray[np.float64]]]
"""Contours by slice, as (row, column) in pixels."""


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
    instances = {str(known.SOPInstanceUID) for known in image_series.headers}
    for number, class_index in _classes(header, image_series, names).items():
        contours = _on_slices(_contours(header, number, instances), image)
        for slice_index, polygons in contours.items():
            row, column = np.nonzero(fill_polygons(polygons, canvas.plane))
            canvas.paint((np.full_like(row, slice_index), row, column), class_index)
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


def _classes(header: Any, image_series: "DeidentifiedSeries", names: LabelNames) -> dict[int, int]:
    """Returns the class index of each structure's number that a class asks for."""
    frame = image_series.headers[0].get("FrameOfReferenceUID")
    codes: dict[int, list[str]] = defaultdict(list)
    for seen in header.get("RTROIObservationsSequence") or ():
        codes[int(seen.ReferencedROINumber)] += codes_of(seen.get("RTROIIdentificationCodeSequence") or ())
    found: dict[int, int] = {}
    for structure in header.get("StructureSetROISequence") or ():
        number = int(structure.ROINumber)
        index = class_of([str(structure.get("ROIName", "")), *codes[number]], names)
        if index is None:
            continue
        if number in found:
            raise geometry_error("malformed_label", "two structures have the same number")
        if not frame or structure.get("ReferencedFrameOfReferenceUID") != frame:
            raise geometry_error("label_other_image", "a structure is not in the image's frame of reference")
        found[number] = index
    return found


def _contours(header: Any, number: int, instances: set[str]) -> Iterator[NDArray[np.float64]]:
    """Yields each contour of a structure: points (N, 3) in LPS millimetres."""
    left = MAX_POINTS
    for item in header.get("ROIContourSequence") or ():
        if int(item.ReferencedROINumber) != number:
            continue
        for contour in item.get("ContourSequence") or ():
            if contour.get("ContourGeometricType") not in _CLOSED:
                raise geometry_error("unsupported_label", "a structure has contours that are not closed and planar")
            drawn_on = contour.get("ContourImageSequence") or ()
            if {str(image.get("ReferencedSOPInstanceUID")) for image in drawn_on} - instances:
                raise geometry_error("label_other_image", "a contour was drawn on an image that is not in the series")
            points = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
            left -= len(points)
            if not len(points) or not np.isfinite(points).all() or left < 0:
                raise geometry_error("malformed_label", "a structure has no proper contours, or too many points")
            yield points


def _on_slices(contours: Iterator[NDArray[np.float64]], image: "DicomVolume") -> Contours:
    """Brings contours from millimetres to the image's slices."""
    inverse = np.linalg.inv(image.geometry.affine)
    slices, *plane = image.geometry.spatial_shape
    found: Contours = defaultdict(list)
    for points in contours:
        indices = points @ inverse[:3, :3].T + inverse[:3, 3]
        at = np.rint(indices[0, 0])
        if np.abs(indices[:, 0] - at).max() > OFF_GRID_VOXELS:
            raise geometry_error("contours_off_slices", "a contour lies between or across the image's slices")
        # A pixel's centre can be inside only if the contour reaches it.
        beyond = np.any(indices[:, 1:] < -1, axis=None) or np.any(indices[:, 1:] > plane, axis=None)
        if not 0 <= at < slices or beyond:
            raise geometry_error("label_outside_image", "a contour lies outside of the image")
        found[int(at)].append(indices[:, 1:])
    return found
