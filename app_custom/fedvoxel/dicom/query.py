"""What is asked of a PACS, in the standard's keywords, and what it answers: series, never shown as text."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator, model_validator

from fedvoxel.config import FrozenModel

_SECRET = ("PatientID", "AccessionNumber", "StudyInstanceUID")
_EXACT = re.compile(r"[^\\*?\x00-\x1f]{1,64}")

ModalityCode = Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,16}$")]
Wildcards = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\\\x00-\x1f]+$")]


class SeriesQuery(FrozenModel):
    """Chooses series at a PACS; every key that is given must match, and of a list one value.

    Attributes:
        PatientID: Exact identifiers; hidden in every error, log and representation.
        AccessionNumber: Exact numbers; hidden likewise.
        StudyInstanceUID: Exact UIDs of studies; hidden likewise.
        StudyDate: "20240101", "20240101-20241231", "20240101-" or "-20241231".
        ModalitiesInStudy: Modalities of which the study has one.
        StudyDescription: A text with the wildcards * and ?, in any case.
        Modality: The series' own modality.
        SeriesDescription: A text with the wildcards * and ?, in any case.
    """

    PatientID: tuple[SecretStr, ...] = ()
    AccessionNumber: tuple[SecretStr, ...] = ()
    StudyInstanceUID: tuple[SecretStr, ...] = ()
    StudyDate: str | None = Field(default=None, pattern=r"^(\d{8}|\d{8}-(\d{8})?|-\d{8})$")
    ModalitiesInStudy: tuple[ModalityCode, ...] = ()
    StudyDescription: Wildcards | None = None
    Modality: tuple[ModalityCode, ...] = ()
    SeriesDescription: Wildcards | None = None

    @model_validator(mode="before")
    @classmethod
    def _hide(cls, values: Any) -> Any:
        # Before anything can fail: a validation error shows its input.
        if not isinstance(values, dict):
            return values
        hidden = {key: [_secret(text) for text in _listed(values[key])] for key in _SECRET if key in values}
        return {**values, **hidden}

    @field_validator(*_SECRET)
    @classmethod
    def _is_exact(cls, values: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if not all(_EXACT.fullmatch(value.get_secret_value()) for value in values):
            raise ValueError("expected whole identifiers of 1 to 64 characters, without wildcards")
        return values

    @property
    def names_studies(self) -> bool:
        """Says whether it names whole identifiers: of patients, accessions or studies."""
        return any(getattr(self, key) for key in _SECRET)

    def study_keys(self) -> list[dict[str, str]]:
        """Returns the keys of each study-level query that is needed: a PACS takes one value of a key at a time."""
        fixed = {"StudyDate": self.StudyDate, "StudyDescription": self.StudyDescription}
        queries = [{key: value for key, value in fixed.items() if value is not None}]
        for key, values in self._study_lists().items():
            queries = [{**query, key: value} for query in queries for value in values] if values else queries
        return queries

    def wants_study(self, answer: Mapping[str, str]) -> bool:
        """Says whether a study that a PACS answered is one that was asked for: some ignore keys they do not know."""
        return (
            all(answer.get(key, "") in found for key, found in self._study_lists().items() if found and key in _SECRET)
            and _within(self.StudyDate, answer.get("StudyDate", ""))
            and _is_like(self.StudyDescription, answer.get("StudyDescription", ""))
        )

    def wants_series(self, answer: Mapping[str, str]) -> bool:
        """Says whether a series that a PACS answered is one that was asked for."""
        modality = not self.Modality or answer.get("Modality", "") in self.Modality
        return modality and _is_like(self.SeriesDescription, answer.get("SeriesDescription", ""))

    def _study_lists(self) -> dict[str, tuple[str, ...]]:
        hidden = {key: tuple(value.get_secret_value() for value in getattr(self, key)) for key in _SECRET}
        return {**hidden, "ModalitiesInStudy": self.ModalitiesInStudy}


@dataclass(frozen=True)
class FoundSeries:
    """Is a series that a PACS has; its representation shows nothing that identifies it.

    Attributes:
        instances: How many instances the PACS says it has; None where it does not say.
    """

    patient_id: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    modality: str
    instances: int | None


def _secret(text: Any) -> Any:
    return SecretStr(text) if isinstance(text, str) else SecretStr("") if not isinstance(text, SecretStr) else text


def _listed(values: Any) -> Any:
    return values if isinstance(values, list | tuple) else [values]


def _within(asked: str | None, date: str) -> bool:
    if asked is None:
        return True
    first, _, last = asked.partition("-")
    last = last if "-" in asked else first
    return len(date) == len("20240101") and (first or date) <= date <= (last or date)


def _is_like(asked: str | None, text: str) -> bool:
    if asked is None:
        return True
    pattern = asked.replace("[", "[[]").casefold()
    return fnmatchcase(text.casefold(), pattern)
