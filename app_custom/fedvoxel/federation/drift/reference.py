"""What hospitals are asked about a model in use: what a job carries of its package's calibration, to compare with.

The server has no package. What it compares with comes with the job, from whoever wrote that, and from no hospital.
"""

from bisect import bisect_left
from typing import Annotated

from pydantic import Field, field_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.limits import limits_of
from fedvoxel.federation.calibration.plan import Spread, StructureName
from fedvoxel.federation.calibration.score_counts import ScoreCounts
from fedvoxel.federation.drift.signs import LEAST_IMAGES
from fedvoxel.records.names import RunKey, Sha256


class WatchReference(FrozenModel):
    """Is what the numbers of images in use are compared with.

    Attributes:
        distances: How far the validation patients' images were from the training cases.
        log_volumes: Natural logarithm of each structure's true volume in mL over the training cases; None where too few
            have it.
        training_cases: How many these were.
    """

    distances: ScoreCounts
    log_volumes: Annotated[dict[StructureName, Spread | None], Field(min_length=1, max_length=254)]
    training_cases: int = Field(ge=1)

    @field_validator("distances")
    @classmethod
    def _is_of_patients(cls, value: ScoreCounts) -> ScoreCounts:
        if not value.patients:
            raise ValueError("expected counts of at least one patient")
        return value

    @property
    def first_unusual(self) -> int:
        """Returns the first cell of unusual images; it may lie behind the last."""
        return bisect_left(self.distances.edges, limits_of(self.distances).warn) + 1


class WatchQuestion(FrozenModel):
    """Is what hospitals are asked, the same in both files of the job.

    Attributes:
        model: The name under which each hospital's own file says where the model's results lie.
        package: Identity of the package.
        last: About how many of the newest images at most.
        reference: What they are held against.
    """

    model: RunKey
    package: Sha256
    last: int = Field(default=100, ge=LEAST_IMAGES, le=1000)
    reference: WatchReference


def reference_of(calibration: Calibration) -> WatchReference:
    """Returns what a calibration says that images in use can be compared with."""
    plan = calibration.plan
    return WatchReference(
        distances=calibration.distances, log_volumes=plan.log_volumes, training_cases=plan.reference.cases
    )
