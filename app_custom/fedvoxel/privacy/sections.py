"""A job's section "privacy", one form for each unit; reading it needs no accountant.

A mechanism owns clip bound, weighting, sampling, noise scale and accounting event, all read from here. Each of these
alone is easy, and each disagreement between them voids the guarantee without a sign: noise scaled to another bound than
the clip's, a mean over the batch that happened to be drawn, shuffled batches accounted as Poisson samples.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.privacy.clipping import GRID, MAX_SUMMANDS
from fedvoxel.privacy.events import MAX_NOISE_MULTIPLIER
from fedvoxel.updates.update import MAX_ABSOLUTE_VALUE

MIN_GRID_SIGMA = 2**26
"""Least noise of a release, in grid steps (1/64 in the units of the parameters): see above."""


class PatientMechanismConfig(FrozenModel):
    """Is a job's privacy section for the unit patient (DP-SGD at each site).

    Attributes:
        clip_norm: l2 bound of one patient's gradient, over all parameters together.
        noise_multiplier: Standard deviation of the noise over `clip_norm`; None for a comparison run without noise,
            which gives no guarantee.
        sampling_probability: Probability with which each patient takes part in each step, by a coin of its own.
        steps_per_round: Steps, each on a fresh sample, in every round.
        delta: Of the claim.
        expected_batch: What the sum is divided by: a public number, sampling probability times a public idea of the
            cohort's size. Never the number of patients that happened to be drawn.
        views_per_patient: Augmented views of a patient in one step, averaged before the clip.
    """

    unit: Literal["patient"]
    clip_norm: float = Field(gt=0, le=1e6)
    noise_multiplier: float | None = Field(gt=0, le=MAX_NOISE_MULTIPLIER)
    sampling_probability: float = Field(gt=0, le=1)
    steps_per_round: int = Field(ge=1, le=100_000)
    delta: float = Field(gt=0, lt=1)
    expected_batch: float = Field(gt=0, le=1e6)
    views_per_patient: int = Field(default=1, ge=1, le=1000)


class HospitalMechanismConfig(FrozenModel):
    """Is a job's privacy section for the unit hospital (noise once, at the server, on the sum).

    Attributes:
        clip_norm: l2 bound of one hospital's update, over all parameters together.
        noise_multiplier: Standard deviation of the noise on the sum over `clip_norm`; None for a comparison run without
            noise, which gives no guarantee.
        sites: What the sum is divided by: the public number of sites in the job, whoever answered.
        delta: Of the claim.
    """

    unit: Literal["hospital"]
    clip_norm: float = Field(gt=0, le=MAX_ABSOLUTE_VALUE)
    noise_multiplier: float | None = Field(gt=0, le=MAX_NOISE_MULTIPLIER)
    sites: int = Field(ge=1, le=MAX_SUMMANDS)
    delta: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _noise_spans_the_grid(self) -> Self:
        if self.noise_multiplier is not None and self.noise_multiplier * self.clip_norm * GRID < MIN_GRID_SIGMA:
            raise ValueError(
                f"noise_multiplier * clip_norm is {self.noise_multiplier * self.clip_norm:g}, "
                f"expected at least {MIN_GRID_SIGMA / GRID:g}: the noise must be wide against the grid of the sum"
            )
        return self


PrivacySection = Annotated[PatientMechanismConfig | HospitalMechanismConfig, Field(discriminator="unit")]
"""A job's privacy section of either unit; `unit` tells which, and has to be said."""


class _Sectioned(FrozenModel):
    privacy: PrivacySection


def read_section(values: Any) -> PatientMechanismConfig | HospitalMechanismConfig:
    """Reads a job's privacy section, of either unit.

    Args:
        values: The section as JSON.

    Raises:
        ConfigError: The unit is not said or unknown, or a value is missing, unknown or out of range.
    """
    return parse_config(_Sectioned, {"privacy": values}, "the job's privacy section").privacy
