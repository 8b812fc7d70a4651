"""Holds an image against what its model was made for: what cannot be right is refused, what may be brings a remark.

Headers say little, and often nothing of the body part: then a remark is all that can be made of it. What the image
itself says is not looked at here; a package's calibration may hold statistics for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedvoxel.deid.body_parts import WITH_FACE, WITHOUT_FACE
from fedvoxel.evaluation.inference.refusal import prediction_error
from fedvoxel.export.description import InputRange, Range
from fedvoxel.volumes.volume import Affine, spacing_of

_KNOWN = (WITH_FACE | WITHOUT_FACE) - {"WHOLEBODY"}
_SHARE = 1e-3


@dataclass(frozen=True)
class ImageFacts:
    """Is what is known of an image.

    Attributes:
        modality: Modality; None for a file that does not say.
        body_part: BodyPartExamined in capitals, one of PS3.16 Annex L; None where it is missing or none of these.
        spacing_mm: Voxel size.
        extent_mm: Length of the volume along the same axes.
    """

    modality: str | None
    body_part: str | None
    spacing_mm: tuple[float, float, float]
    extent_mm: tuple[float, float, float]

    @classmethod
    def of(cls, modality: str | None, body_part: str | None, shape: Sequence[int], affine: Affine) -> "ImageFacts":
        """Returns the facts of a grid."""
        spacing = spacing_of(affine)
        x, y, z = (float(length) for length in np.multiply(shape, spacing))
        return cls(modality, body_part, spacing, (x, y, z))


def known_body_part(text: object) -> str | None:
    """Returns a header's BodyPartExamined if it is a word of the standard, else None: free text proves nothing."""
    word = "".join(str(text or "").upper().split())
    return word if word in _KNOWN else None


def check_modality(modality: str, expected: InputRange) -> None:
    """Refuses another modality than the model's.

    Raises:
        PredictionError: wrong_modality.
    """
    if modality not in expected.modalities:
        known = modality if modality.isalnum() and len(modality) <= 4 else "another modality"
        raise prediction_error("wrong_modality", f"the model was made for {_listed(expected.modalities)}, not {known}")


def check_body_part(body_part: str | None, expected: InputRange) -> None:
    """Refuses a body part that the header names and the model was not made for.

    Raises:
        PredictionError: wrong_body_part.
    """
    if body_part is not None and body_part not in expected.body_parts:
        found = f"the model was made for {_listed(expected.body_parts)}, and the header says {body_part}"
        raise prediction_error("wrong_body_part", found)


def is_within(values: Sequence[float], allowed: Range) -> bool:
    """Says whether all values lie in a range, give or take a thousandth: 1.0000001 mm is 1 mm."""
    return all(allowed.low * (1 - _SHARE) <= value <= allowed.high * (1 + _SHARE) for value in values)


def remarks_on(facts: ImageFacts, expected: InputRange) -> list[str]:
    """Returns what a reader of the result must know of its input, one sentence each.

    Raises:
        PredictionError: wrong_modality or wrong_body_part.
    """
    remarks = []
    if facts.modality is None:
        remarks.append(f"The file does not say its modality; the model was made for {_listed(expected.modalities)}.")
    else:
        check_modality(facts.modality, expected)
    check_body_part(facts.body_part, expected)
    if facts.body_part is None:
        parts = _listed(expected.body_parts)
        remarks.append(f"The header names no body part of the standard; the model was made for {parts}.")
    sizes = (("Voxels", facts.spacing_mm, expected.spacing_mm), ("Image", facts.extent_mm, expected.extent_mm))
    for what, found, range_mm in sizes:
        if not is_within(found, range_mm):
            shown = " x ".join(f"{length:.3g}" for length in found)
            remarks.append(f"{what} of {shown} mm; the model was made for {range_mm.low:g} to {range_mm.high:g} mm.")
    return remarks


def _listed(words: Sequence[str]) -> str:
    return " or ".join(words)
