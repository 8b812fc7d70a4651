"""What a package says of its model: what it finds, on what images, and how they are prepared. Declarations only.

This, the ONNX file and the calibration are all that inference reads: a bundle's own configuration can run Python, and a
clinician's machine never loads it.
"""

from collections import Counter
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.records.names import ModelName
from fedvoxel.training.config import InferenceConfig
from fedvoxel.volumes.plan import PreprocessingPlan

DESCRIPTION = "model.json"
"""The name of the description in a package."""

_Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
_Label64 = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f\\]+$")
]
_Positive = Annotated[float, Field(gt=0, le=10_000)]
Byte = Annotated[int, Field(ge=0, le=255)]

Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}$")]
"""MAJOR.MINOR.PATCH."""


class Code(FrozenModel):
    """Is a coded concept (PS3.3 section 8.8): SNOMED CT is the scheme SCT.

    Attributes:
        scheme: CodingSchemeDesignator.
        value: CodeValue.
        meaning: CodeMeaning.
    """

    scheme: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{1,16}$")]
    value: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.-]{1,16}$")]
    meaning: _Label64


class Structure(FrozenModel):
    """Is one structure that the model finds.

    Attributes:
        name: The job's class.
        label: What a person reads (SegmentLabel).
        category: SegmentedPropertyCategoryCodeSequence, such as SCT 123037004 "Anatomical Structure".
        type: SegmentedPropertyTypeCodeSequence.
        modifier: SegmentedPropertyTypeModifierCodeSequence, or none.
        colour_rgb: How it is drawn.
    """

    name: _Line
    label: _Label64
    category: Code
    type: Code
    modifier: Code | None = None
    colour_rgb: tuple[Byte, Byte, Byte]


class Range(FrozenModel):
    """Is a closed range of plausible values."""

    low: _Positive
    high: _Positive

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is greater than high")
        return self


class InputRange(FrozenModel):
    """Says which images the model was made for; others are refused, or come with a warning.

    Attributes:
        modalities: DICOM Modality; another is refused.
        body_parts: Words of BodyPartExamined (PS3.16 Annex L); another that a header names is refused.
        spacing_mm: Voxel size, of every axis; outside, the result comes with a warning.
        extent_mm: Length of the volume, of every axis; outside, the result comes with a warning.
    """

    modalities: Annotated[tuple[Literal["CT", "MR", "PT"], ...], Field(min_length=1)]
    body_parts: Annotated[tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,16}$")], ...], Field(min_length=1)]
    spacing_mm: Range
    extent_mm: Range


class ModelDescription(FrozenModel):
    """Is the content of `model.json`.

    Attributes:
        name: Short name of the model.
        version: MAJOR.MINOR.PATCH.
        title: What a person reads.
        intended_use: For what, on whom, by whom.
        limitations: Where it is known not to work, or nobody looked.
        structures: Label codes are 1 + index; 0 is background.
        input: Which images it was made for.
        plan: How a volume is prepared.
        inference: The sliding window.
    """

    schema_version: Literal[1] = 1
    name: ModelName
    version: Version
    title: _Label64
    intended_use: _Text
    limitations: _Text
    structures: Annotated[tuple[Structure, ...], Field(min_length=1, max_length=254)]
    input: InputRange
    plan: PreprocessingPlan
    inference: InferenceConfig

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        for names in ([one.name for one in self.structures], [one.label for one in self.structures]):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise ValueError(f"two structures are called {twice[0]}")
        return self

    @property
    def channels(self) -> int:
        """Is the number of the network's outputs: background and the structures."""
        return 1 + len(self.structures)
