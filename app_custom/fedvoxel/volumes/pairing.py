"""Finds out which label series belongs to which image series, by what the labels themselves refer to.

A label that names series belongs to these and to no others. One that names none (the standard lets RTSTRUCT do
that) belongs to the only image of its study in its frame of reference; where there are several, nobody guesses.
Whether the label lies on the image's grid is looked at later, when both are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedvoxel.volumes.refusal import Reason

if TYPE_CHECKING:
    from fedvoxel.dicom.series import SeriesFiles


@dataclass(frozen=True)
class Pair:
    """Is an image series and its label series.

    Attributes:
        image: The image.
        label: Its label, or None where `problem` says why there is none.
        problem: missing_label, several_labels or label_other_image; None for a good pair.
    """

    image: "SeriesFiles"
    label: "SeriesFiles | None"
    problem: Reason | None


def pair(images: Sequence["SeriesFiles"], labels: Sequence["SeriesFiles"]) -> tuple[Pair, ...]:
    """Gives each image its label.

    Args:
        images: Series that are to become volumes.
        labels: SEG or RTSTRUCT series of the same inventory.

    Returns:
        One pair for each image, in the order of `images`.

    Source: PS3.3 C.8.20.2 and C.8.23.2 (Referenced Series Sequence of a segmentation), C.8.8.5 (Referenced Frame of
        Reference Sequence of a structure set), C.7.4.1 (frame of reference).
    """
    return tuple(_pair(image, [label for label in labels if _belongs(label, image, images)]) for image in images)


def _pair(image: "SeriesFiles", labels: Sequence["SeriesFiles"]) -> Pair:
    if len(labels) != 1:
        return Pair(image, None, "several_labels" if labels else "missing_label")
    if _patient(labels[0]) != _patient(image):
        return Pair(image, None, "label_other_image")
    return Pair(image, labels[0], None)


def _belongs(label: "SeriesFiles", image: "SeriesFiles", images: Sequence["SeriesFiles"]) -> bool:
    if label.referenced_series:
        return image.series_uid in label.referenced_series
    return _shares_frame(label, image) and sum(_shares_frame(label, other) for other in images) == 1


def _shares_frame(label: "SeriesFiles", image: "SeriesFiles") -> bool:
    frame = label.frame_of_reference_uid
    return bool(frame) and frame == image.frame_of_reference_uid and label.study_uid == image.study_uid


def _patient(series: "SeriesFiles") -> tuple[str, str]:
    return series.patient_id, series.issuer
