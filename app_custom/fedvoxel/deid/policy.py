"""What a consortium and its hospital chose for a cohort's de-identification; written in the site's own file.

The choices are the options of DICOM PS3.15 Annex E.3. Keeping full dates (113106), UIDs (113110), institutions
(113112) or private attributes (113111) is not offered.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.deid.body_parts import WITHOUT_FACE

SopClass = Literal[
    "CT",
    "ENHANCED_CT",
    "LEGACY_ENHANCED_CT",
    "MR",
    "ENHANCED_MR",
    "LEGACY_ENHANCED_MR",
    "PT",
    "ENHANCED_PT",
    "LEGACY_ENHANCED_PT",
    "SEG",
    "LABELMAP_SEG",
    "RTSTRUCT",
    "US",
    "US_MULTIFRAME",
    "SC",
]
"""The kinds of object that can be de-identified; US and SC only where `burned_in` has their device's regions."""

_USUAL: tuple[SopClass, ...] = (
    *("CT", "ENHANCED_CT", "LEGACY_ENHANCED_CT", "MR", "ENHANCED_MR", "LEGACY_ENHANCED_MR"),
    *("PT", "ENHANCED_PT", "LEGACY_ENHANCED_PT", "SEG", "LABELMAP_SEG", "RTSTRUCT"),
)

Text = Annotated[str, Field(min_length=1, max_length=64)]
Side = Annotated[int, Field(ge=1, le=65535)]


class Rectangle(FrozenModel):
    """Is a part of each frame: rows top..bottom-1 and columns left..right-1, counted from 0 at the top left."""

    top: int = Field(ge=0)
    left: int = Field(ge=0)
    bottom: int = Field(ge=1, le=65535)
    right: int = Field(ge=1, le=65535)

    @model_validator(mode="after")
    def _holds_pixels(self) -> Self:
        if self.bottom <= self.top or self.right <= self.left:
            raise ValueError("expected top < bottom and left < right")
        return self


class DeviceText(FrozenModel):
    """Says where a device writes text into its images of one size.

    Attributes:
        manufacturer: The device's Manufacturer, exactly.
        model: The device's ManufacturerModelName, exactly.
        rows: Rows of the images that this is about.
        columns: Columns of the images that this is about.
        regions: What is made black; together they must cover every place where the device writes.
    """

    manufacturer: Text
    model: Text
    rows: Side
    columns: Side
    regions: tuple[Rectangle, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _lies_inside(self) -> Self:
        if any(each.bottom > self.rows or each.right > self.columns for each in self.regions):
            raise ValueError("expected regions inside rows and columns")
        return self


class DeidPolicy(FrozenModel):
    """Is how a cohort's series are de-identified.

    Attributes:
        project: The consortium's project. Another name gives other pseudonyms, UIDs and dates, which cannot be joined.
        dates: "shift" moves each patient's dates and times by one keyed interval (option 113107); "remove" keeps none.
        patient_characteristics: Keeps sex, age (90 and more become 90 years), size and weight (option 113108).
        device_identity: Keeps the manufacturer, and the model where it is listed; the serial number becomes a
            pseudonym (a cleaned form of option 113109).
        device_models: Model names of the hospital's devices that may stay.
        burned_in: "refuse", or where each device writes text, which is then made black (option 113101).
        faces: "refuse" series that show a head or do not say what they show; "defaced": the hospital declares that
            faces were removed before; "kept": the hospital accepts that faces stay.
        body_part: What the cohort's series show where they do not say so themselves; without a face.
        unnamed_patients: "refuse" objects without PatientID, or take each study "by_study" as a patient of its own.
        sop_classes: The kinds of object that may go further.
    """

    project: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")
    dates: Literal["shift", "remove"] = "shift"
    patient_characteristics: bool = True
    device_identity: bool = True
    device_models: tuple[Text, ...] = ()
    burned_in: Literal["refuse"] | tuple[DeviceText, ...] = "refuse"
    faces: Literal["refuse", "defaced", "kept"] = "refuse"
    body_part: str | None = None
    unnamed_patients: Literal["refuse", "by_study"] = "refuse"
    sop_classes: tuple[SopClass, ...] = Field(default=_USUAL, min_length=1)

    @field_validator("body_part")
    @classmethod
    def _shows_no_face(cls, value: str | None) -> str | None:
        if value is not None and value not in WITHOUT_FACE:
            raise ValueError(f"expected a body part without a face: {', '.join(sorted(WITHOUT_FACE))}")
        return value

    @property
    def device_texts(self) -> tuple[DeviceText, ...]:
        """Returns where devices write text; none if such images are refused."""
        return () if self.burned_in == "refuse" else self.burned_in
