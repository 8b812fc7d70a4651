"""Where a cohort's cases can lie: a table, a dataset.json, a BIDS tree, or what `fedvoxel cohort build` made."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from fedvoxel.config import FrozenModel

ClassName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_ -]{0,63}$")]
ClassCode = Annotated[int, Field(ge=1, le=65535)]
FileName = Annotated[str, Field(min_length=1)]


class CsvSource(FrozenModel):
    """Is a table with the columns case, image, label and, if cases share patients, patient."""

    layout: Literal["csv"]
    table: FileName


class DecathlonSource(FrozenModel):
    """Is a Medical Segmentation Decathlon `dataset.json`, of which the list "training" counts."""

    layout: Literal["decathlon"]
    dataset_json: FileName


class BidsSource(FrozenModel):
    """Is a BIDS tree with one binary mask per class under its derivatives.

    Attributes:
        image: What an image's name ends with, after the case: "run-1_T2starw".
        labels: Class name to mask suffix, "seg-manual"; a later class paints over an earlier one.
        participants: Columns of participants.tsv and the values that belong to the cohort; empty for all.
        patient_pattern: A pattern with one group that finds the patient in the case; null for the subject.
    """

    layout: Literal["bids"]
    root: FileName
    derivatives: FileName = "derivatives/labels"
    image: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    labels: dict[ClassName, Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]] = Field(min_length=1)
    participants: dict[str, list[str]] = Field(default_factory=dict)
    patient_pattern: str | None = None

    @field_validator("patient_pattern")
    @classmethod
    def _has_one_group(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"expected a regular expression: {error}") from None
        if groups != 1:
            raise ValueError(f"expected one group (...) that holds the patient, found {groups}")
        return value


class BuiltSource(FrozenModel):
    """Is a folder that `fedvoxel cohort build` fills, and that says in its manifest.json what is in it."""

    layout: Literal["built"]
    folder: FileName


Source = Annotated[CsvSource | DecathlonSource | BidsSource | BuiltSource, Field(discriminator="layout")]
