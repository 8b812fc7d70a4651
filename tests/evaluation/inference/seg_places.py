"""Reads where a segmentation's voxels lie in the patient, with pydicom alone: nothing of what made it is used."""

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

Places = set[tuple[float, ...]]


def places_in(segmentation: Dataset) -> dict[str, Places]:
    """Segment label to the places (LPS millimetres, rounded) of its voxels. Source: PS3.3 C.7.6.2.1.1."""
    labels = {segment.SegmentNumber: str(segment.SegmentLabel) for segment in segmentation.SegmentSequence}
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    pixels = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    found: dict[str, Places] = defaultdict(set)
    for own, frame in zip(segmentation.PerFrameFunctionalGroupsSequence, pixels, strict=True):
        orientation = (own if "PlaneOrientationSequence" in own else shared).PlaneOrientationSequence[0]
        measures = (own if "PixelMeasuresSequence" in own else shared).PixelMeasuresSequence[0]
        identified = (own if "SegmentIdentificationSequence" in own else shared).SegmentIdentificationSequence[0]
        position = own.PlanePositionSequence[0].ImagePositionPatient
        found[labels[identified.ReferencedSegmentNumber]] |= _places(
            frame, position, orientation.ImageOrientationPatient, measures.PixelSpacing
        )
    return dict(found)


def places_of(slices: Iterable[Dataset], codes: NDArray[np.uint8], code: int) -> Places:
    """The places of the voxels of `codes` (slice, row, column) that are `code`, from the images' own headers."""
    found: Places = set()
    for one, plane in zip(slices, codes, strict=True):
        found |= _places(plane == code, one.ImagePositionPatient, one.ImageOrientationPatient, one.PixelSpacing)
    return found


def _places(mask: NDArray[np.generic], position: object, orientation: object, spacing: object) -> Places:
    rows, columns = np.nonzero(mask)
    along_row, along_column = np.reshape(np.array(orientation, float), (2, 3))
    down, across = np.array(spacing, float)
    points = np.array(position, float) + np.outer(columns * across, along_row) + np.outer(rows * down, along_column)
    return {tuple(point) for point in np.round(points, 2) + 0.0}
