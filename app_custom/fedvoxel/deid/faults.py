"""Why a series is not de-identified: stable reasons, each with what the hospital can do about it.

A message never holds a patient, a UID, a path or a text from a header.
"""

from typing import Literal, get_args

from fedvoxel.errors import DeidError

DeidReason = Literal[
    "sop_class_not_allowed",
    "mixed_identity",
    "unnamed_patient",
    "already_deidentified",
    "nested_too_deep",
    "unusable_value",
    "burned_in_text",
    "pixels_not_cleaned",
    "recognizable_face",
    "body_part_unknown",
    "identifier_left",
]

REMEDIES: dict[DeidReason, str] = {
    "sop_class_not_allowed": "take the object out, or add its kind to sop_classes in the cohort's deid policy",
    "mixed_identity": "give each series one patient and one SeriesInstanceUID at the source",
    "unnamed_patient": 'give the patient an ID at the source, or set unnamed_patients to "by_study" in the policy',
    "already_deidentified": "start from the original series: pseudonyms of pseudonyms join nothing",
    "nested_too_deep": "take the object out: no imaging device writes such a header",
    "unusable_value": "correct this element at the source, or export the series again",
    "burned_in_text": "take the series out, or give the device's text regions in burned_in of the cohort's deid policy",
    "pixels_not_cleaned": "export the series uncompressed, with one value per pixel and without overlays in its bits",
    "recognizable_face": 'deface the series and set faces to "defaced", or accept faces with "kept"',
    "body_part_unknown": 'set body_part in the cohort\'s deid policy to what its series show, or faces to "kept"',
    "identifier_left": "keep the series at home and report this: the engine should have removed it",
}

REASONS: tuple[DeidReason, ...] = get_args(DeidReason)


def deid_error(reason: DeidReason, found: str) -> DeidError:
    """Returns the error for `reason`: what was found, then what to do."""
    return DeidError(reason, f"{found}; {REMEDIES[reason]}")
