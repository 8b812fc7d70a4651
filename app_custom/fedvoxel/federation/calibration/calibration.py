"""The content of a package's `calibration.json`: how far its model can be trusted, and how that is found out.

It is fitted on validation cases of several hospitals by sums alone, and read where the model is used. What too few
patients were there for is missing, and a result then says so instead of a number.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.calibration.moments import Count
from fedvoxel.federation.calibration.plan import ExaminationPlan, StructureName
from fedvoxel.federation.calibration.quality import QualityModel
from fedvoxel.federation.calibration.score_counts import ScoreCounts
from fedvoxel.records.names import Sha256

CALIBRATION_SCHEMA_VERSION = 1

Share = Annotated[float, Field(gt=0, lt=1)]


class CalibrationError(FrozenModel):
    """Says how far confidence is from being right, on voxels where a structure is possible.

    Attributes:
        before: Expected calibration error without temperature, 0 to 1; None where there were no such voxels.
        after: With it.
    """

    before: float | None
    after: float | None


class Calibration(FrozenModel):
    """Is what is known of a model's reliability.

    Attributes:
        model_sha256: SHA-256 of the weights that it was fitted for, as the run's outcome has it.
        hospitals: How many took part with enough patients.
        patients: Validation patients of these.
        minimum_patients: No number that left a hospital was about fewer.
        plan: How a result is examined.
        calibration_error: How much the temperature helped, on the cases that it was fitted on.
        distances: How far the validation cases are from the training cases.
        volume_errors: By structure: the absolute logarithm of true over found volume.
        quality: By structure, what estimates its Dice.
        coverage: Share of exchangeable patients whose true volume an interval is to hold.
    """

    schema_version: Literal[1] = 1
    model_sha256: Sha256 | None
    hospitals: int = Field(ge=1)
    patients: Count
    minimum_patients: int = Field(ge=1)
    plan: ExaminationPlan
    calibration_error: CalibrationError
    distances: ScoreCounts
    volume_errors: dict[StructureName, ScoreCounts | None]
    quality: dict[StructureName, QualityModel | None]
    coverage: Share = 0.9

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        names = set(self.plan.structures)
        if set(self.volume_errors) != names or set(self.quality) != names:
            raise ValueError("volume_errors and quality must name the structures")
        return self
