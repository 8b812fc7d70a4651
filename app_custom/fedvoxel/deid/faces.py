"""Whether a series may show a face, and whether the hospital decided what that means.

Fails closed: a series that says nothing of the body part is taken to show a head. What an image really shows is not
looked at: a scan of the chest that reaches the chin passes as a chest.
"""

from collections.abc import Iterator, Sequence

from pydicom import Dataset

from fedvoxel.deid.body_parts import FACE_CODES, WITHOUT_FACE
from fedvoxel.deid.codes import code_of
from fedvoxel.deid.faults import deid_error
from fedvoxel.deid.policy import DeidPolicy

_MAX_ITEMS = 200


def check_faces(headers: Sequence[Dataset], policy: DeidPolicy) -> None:
    """Refuses a series of images that may show a face, unless the policy decided about faces.

    Raises:
        DeidError: recognizable_face or body_part_unknown.

    Source: DICOM PS3.15 section E.3.2 (Clean Recognizable Visual Features Option).
    """
    if policy.faces != "refuse":
        return
    for header in headers:
        said = _said_body_part(header)
        if (said and said not in WITHOUT_FACE) or header.get("RecognizableVisualFeatures") == "YES":
            raise deid_error("recognizable_face", "the series shows a body part with a face, or one that is not known")
        if any(code in FACE_CODES for code in _region_codes(header)):
            raise deid_error("recognizable_face", "the series shows a region with a face")
        if not said and policy.body_part is None:
            raise deid_error("body_part_unknown", "the series does not say which body part it shows")


def _said_body_part(header: Dataset) -> str:
    value = header.get("BodyPartExamined")
    return str(value).strip(" \0").upper() if value else ""


def _region_codes(header: Dataset) -> Iterator[str]:
    """Yields the values of the codes of the anatomic regions that an object names, whole or frame by frame."""
    groups = [header, *_items(header, "SharedFunctionalGroupsSequence")]
    groups += _items(header, "PerFrameFunctionalGroupsSequence")[:_MAX_ITEMS]
    for group in groups:
        for holder in (group, *_items(group, "FrameAnatomySequence")):
            for region in _items(holder, "AnatomicRegionSequence"):
                yield code_of(region)[1]


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    value = dataset.get(keyword)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else []
