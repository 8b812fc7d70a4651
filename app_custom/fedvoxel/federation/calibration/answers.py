"""What a hospital sends when a model is calibrated: sums and counts about at least a minimum number of its patients.

It is asked twice. First what its training cases look like, how likely its validation cases' truth was, and how far off
their volumes were; then, held against what all hospitals' training cases look like together, how estimates of quality
go along with the true Dice. These are aggregates as registries publish them, and no formal guarantee of privacy.
"""

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.calibration.likelihood import LikelihoodSums, ReliabilitySums
from fedvoxel.federation.calibration.moments import Count, Moments
from fedvoxel.federation.calibration.plan import StructureName, Structures
from fedvoxel.federation.calibration.quality import TARGET
from fedvoxel.federation.calibration.score_counts import ScoreCounts

MINIMUM_PATIENTS = 5
"""No number that leaves a hospital is about fewer patients than this."""


class CalibrationPatients(FrozenModel):
    """Says of how many patients an answer is."""

    schema_version: Literal[1] = 1
    minimum_patients: int = Field(default=MINIMUM_PATIENTS, ge=MINIMUM_PATIENTS)


AnswerT = TypeVar("AnswerT", bound=CalibrationPatients)


class TooFewPatients(CalibrationPatients):
    """Is what a hospital sends that has fewer patients than the minimum: only that."""

    below_minimum: Literal[True] = True


class FirstAnswer(CalibrationPatients):
    """Is what a hospital sends at first; a part is None that too few patients would be in.

    Attributes:
        structures: The job's classes.
        training_patients: Of how many the reference and the volumes are.
        validation_patients: Of how many the likelihood and the volume errors are.
        reference: Features of each training case.
        log_volumes: Natural logarithm of each structure's true volume in mL, over the training cases that have it.
        likelihood: Of the truth, on the validation cases.
        volume_errors: By structure: the absolute logarithm of true over found volume, on the validation cases.
    """

    below_minimum: Literal[False] = False
    structures: Structures
    training_patients: Count
    validation_patients: Count
    reference: Moments | None
    log_volumes: dict[StructureName, Moments | None]
    likelihood: LikelihoodSums | None
    volume_errors: dict[StructureName, ScoreCounts | None]

    @model_validator(mode="after")
    def _is_about_enough(self) -> Self:
        least = self.minimum_patients
        for part, patients in ((self.reference, self.training_patients), (self.likelihood, self.validation_patients)):
            if part is not None and patients < least:
                raise ValueError(f"a part is about {patients} patients, fewer than {least}")
        if self.reference is not None and self.reference.rows < least:
            raise ValueError("the reference is about too few cases")
        if any(part is not None and part.rows < least for part in self.log_volumes.values()):
            raise ValueError("volumes are about too few cases")
        _check_cells(self.volume_errors, least)
        return self


class SecondAnswer(CalibrationPatients):
    """Is what a hospital sends at last, of its validation cases.

    Attributes:
        validation_patients: How many.
        quality: By structure: features of results, clean and spoilt, and their Dice.
        distances: From the training cases, of the clean ones.
        before: How sure and how right, without a temperature.
        after: With it.
    """

    below_minimum: Literal[False] = False
    validation_patients: Count
    quality: dict[StructureName, Moments | None]
    distances: ScoreCounts
    before: ReliabilitySums
    after: ReliabilitySums

    @model_validator(mode="after")
    def _is_about_enough(self) -> Self:
        least = self.minimum_patients
        if self.validation_patients < least:
            raise ValueError(f"the answer is about {self.validation_patients} patients, fewer than {least}")
        for part in self.quality.values():
            if part is not None and (part.rows < least or part.names[-1] != TARGET):
                raise ValueError("quality is about too few cases, or not about Dice")
        _check_cells({"distances": self.distances}, least)
        return self


def parse_first(values: Any, site: str) -> FirstAnswer | TooFewPatients:
    """Validates what a site sent at first.

    Raises:
        UpdateError: It is not of the expected form.
    """
    return _parsed(FirstAnswer, values, site)


def parse_second(values: Any, site: str) -> SecondAnswer | TooFewPatients:
    """Validates what a site sent at last.

    Raises:
        UpdateError: It is not of the expected form.
    """
    return _parsed(SecondAnswer, values, site)


def _parsed(kind: type[AnswerT], values: Any, site: str) -> AnswerT | TooFewPatients:
    try:
        if isinstance(values, Mapping) and values.get("below_minimum") is True:
            return parse_config(TooFewPatients, values, f"{site}'s calibration")
        return parse_config(kind, values, f"{site}'s calibration")
    except ConfigError as error:
        raise UpdateError(str(error)) from None


def _check_cells(counts: Mapping[str, ScoreCounts | None], least: int) -> None:
    if any(part is not None and part.has_small_cells(least) for part in counts.values()):
        raise ValueError(f"a cell holds fewer than {least} patients")
