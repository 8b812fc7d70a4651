"""Paints the segments of a DICOM SEG onto the image that they were drawn on.

Each frame is placed by its own position and orientation, so that left-out empty frames, another order of slices and a
cut-out region do not matter; one that names images of the series has to lie on one of them. Binary segmentations and
label maps are taken as they are; a fractional one only where it is all or nothing, or where the cohort takes what is at
least half. Segments that no class asks for are passed over.

Source: PS3.3 A.51 and C.8.20 (Segmentation), C.8.23 (Label Map), C.7.6.16 (functional groups).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.frame_place import FramePlace, FramePlane, place_frame
from fedvoxel.volumes.label_canvas import LabelCanvas
from fedvoxel.volumes.label_names import LabelNames, class_of, codes_of
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.slice_places import Places, slice_places

if TYPE_CHECKING:
    from fedvoxel.deid.series import DeidentifiedSeries
    from fedvoxel.volumes.dicom_volume import DicomVolume


def paint_seg(
    series: "DeidentifiedSeries",
    image: "DicomVolume",
    image_series: "DeidentifiedSeries",
    names: LabelNames,
    half: bool,
) -> LabelCanvas:
    """Paints all instances of a SEG series that refer to the image.

    Args:
        series: The segmentation.
        image: The image's volume.
        image_series: The series that the volume was made of.
        names: The names of each class.
        half: Whether a fractional segment marks the pixels where it is at least half.

    Raises:
        GeometryError: The label cannot be used.
    """
    canvas = LabelCanvas(image.geometry.spatial_shape)
    inverse = np.linalg.inv(image.geometry.affine)
    places = slice_places(image, image_series)
    seen: set[int] = set()
    for index in _instances_for(series, image_series):
        header = series.headers[index]
        classes = _classes(header, names)
        if seen & set(classes.values()):
            raise geometry_error("several_labels", "several segmentations of the series mark the same class")
        seen |= set(classes.values())
        if classes:
            for plane, named, mask, class_index in _masks(header, series.stored_pixels(index), classes, half):
                place = place_frame(plane, mask.shape, inverse)
                canvas.require_room(int(np.count_nonzero(mask)))
                canvas.paint(place.indices(mask), class_index)
                _require_named_slice(place, named, places)
    return canvas


def _instances_for(series: "DeidentifiedSeries", image_series: "DeidentifiedSeries") -> list[int]:
    """Returns the instances that refer to the image: by series where they name one, else by frame of reference."""
    frame = image_series.headers[0].get("FrameOfReferenceUID")
    chosen = []
    for index, header in enumerate(series.headers):
        referenced = {item.get("SeriesInstanceUID") for item in header.get("ReferencedSeriesSequence") or ()}
        same_frame = bool(frame) and header.get("FrameOfReferenceUID") == frame
        if same_frame and (not referenced or image_series.series_uid in referenced):
            chosen.append(index)
    if not chosen:
        raise geometry_error("label_other_image", "the segmentation does not refer to this image")
    return chosen


def _classes(header: Any, names: LabelNames) -> dict[int, int]:
    """Returns the class index of each segment number that a class asks for."""
    found = {}
    for segment in header.SegmentSequence:
        codes = codes_of(segment.get("SegmentedPropertyTypeCodeSequence") or ())
        index = class_of([str(segment.get("SegmentLabel", "")), *codes], names)
        if index is not None:
            found[int(segment.SegmentNumber)] = index
    return found


def _masks(
    header: Any, frames: NDArray[Any], classes: dict[int, int], half: bool
) -> Iterator[tuple[FramePlane, frozenset[str], NDArray[np.bool_], int]]:
    shared = _first(header, "SharedFunctionalGroupsSequence")
    groups = header.get("PerFrameFunctionalGroupsSequence") or ()
    if header.get("DimensionOrganizationType") == "TILED_FULL" or "TotalPixelMatrixRows" in header:
        raise geometry_error("unsupported_label", "the segmentation is that of a slide")
    if len(groups) != len(frames):
        raise geometry_error("malformed_label", f"{len(frames)} frames, and {len(groups)} are described")
    seen: set[tuple[int | None, FramePlane]] = set()
    for own, pixels in zip(groups, frames, strict=True):
        number = _segment_number(header, own, shared)
        if number is not None and number not in classes:
            continue
        plane = _plane(own, shared)
        if (number, plane) in seen:
            raise geometry_error("malformed_label", "two frames of a segment lie at the same place")
        seen.add((number, plane))
        for segment in classes if number is None else (number,):
            yield plane, _drawn_on(own), _mask(header, pixels, segment, half), classes[segment]


def _drawn_on(own: Any) -> frozenset[str]:
    """Returns the instances that a frame says to have been drawn on."""
    return frozenset(
        str(source.get("ReferencedSOPInstanceUID"))
        for derived in own.get("DerivationImageSequence") or ()
        for source in derived.get("SourceImageSequence") or ()
    )


def _require_named_slice(place: FramePlace, named: frozenset[str], places: Places) -> None:
    """Refuses a frame along the slices that names images of the series, but none that lies where it does."""
    known = {places[uid] for uid in named if uid in places}
    along = not place.steps[0].any()
    if along and known and not known & {None, int(place.origin[0])}:
        raise geometry_error("malformed_label", "a frame lies on another slice than the one that it names")


def _mask(header: Any, pixels: NDArray[Any], segment: int, half: bool) -> NDArray[np.bool_]:
    kind = header.SegmentationType
    if kind == "LABELMAP":
        return _equal(pixels, segment)
    if kind == "FRACTIONAL":
        return _whole(pixels, int(header.MaximumFractionalValue), half)
    if kind != "BINARY":
        raise geometry_error("unsupported_label", "the segmentation is of an unknown type")
    if pixels.max(initial=0) > 1:
        raise geometry_error("malformed_label", "a binary segmentation holds other values than 0 and 1")
    return _equal(pixels, 1)


def _equal(pixels: NDArray[Any], value: int) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = pixels == value
    return same


def _whole(pixels: NDArray[Any], highest: int, half: bool) -> NDArray[np.bool_]:
    """Returns where a fraction is at least half.

    Source: PS3.3 C.8.20.2.3 (a fraction is the value divided by Maximum Fractional Value).
    """
    if highest < 1 or pixels.max(initial=0) > highest:
        raise geometry_error("malformed_label", "a fractional segmentation holds values above its maximum")
    if not half and np.any((pixels != 0) & (pixels != highest)):
        raise geometry_error("fractional_label", "the segmentation holds fractions")
    at_least_half: NDArray[np.bool_] = pixels.astype(np.int64) * 2 >= highest
    return at_least_half


def _segment_number(header: Any, own: Any, shared: Any) -> int | None:
    if header.SegmentationType == "LABELMAP":
        return None
    return int(_group(own, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)


def _plane(own: Any, shared: Any) -> FramePlane:
    return FramePlane.of(
        _group(own, shared, "PlanePositionSequence").ImagePositionPatient,
        _group(own, shared, "PlaneOrientationSequence").ImageOrientationPatient,
        _group(own, shared, "PixelMeasuresSequence").PixelSpacing,
    )


def _group(own: Any, shared: Any, keyword: str) -> Any:
    return _first(own, keyword) if keyword in own else _first(shared, keyword)


def _first(item: Any, keyword: str) -> Any:
    found = item.get(keyword)
    if not found:
        raise geometry_error("malformed_label", f"the segmentation has no {keyword}")
    return found[0]
