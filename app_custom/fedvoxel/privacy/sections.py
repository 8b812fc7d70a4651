"""A job's section "privacy", one form for each unit; reading it needs no accountant.

A mechanism owns clip bound, weighting, sampling, noise scale and accounting event, all read from here. Each of these
alone is easy, and each disagreement between them voids the guarantee without a sign: noise scaled to another bound than
the clip's, a mean over the batch that happened to be drawn, shuffled batches accounted as Poisson samples.
"""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.privacy.clipping import GRID, MAX_SUMMANDS
from fedvoxel.privacy.events import MAX_NOISE_MULTIPLIER, MIN_NOISE_MULTIPLIER, NoiseSharing
from fedvoxel.privacy.share_grid import MIN_SHARE_SIGMA, ShareGrid
from fedvoxel.privacy.spare_draws import SpareDraws
from fedvoxel.updates.update import MAX_ABSOLUTE_VALUE

MIN_GRID_SIGMA = 2**26
"""Least noise of a release, in grid steps (1/64 in the units of the parameters): see `hospital_mechanism`."""

MOST_NOISE_OF_FRACTION = 0.05
"""Largest standard deviation of the noise on the fraction of updates within an adaptive bound; what Andrew et al. use
throughout (sigma_b = n / 20). With more, the bound follows the noise and not the updates."""


class PatientMechanismConfig(SpareDraws):
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
        shared_noise: Has each site add a share of the noise, under secure aggregation, which shows their sum alone; see
            `shared_noise`. None has each site add the whole.

    How many draws its run may lose to crashes is said by `SpareDraws`.
    """

    unit: Literal["patient"]
    clip_norm: float = Field(gt=0, le=1e6)
    noise_multiplier: float | None = Field(ge=MIN_NOISE_MULTIPLIER, le=MAX_NOISE_MULTIPLIER)
    sampling_probability: float = Field(gt=0, le=1)
    steps_per_round: int = Field(ge=1, le=100_000)
    delta: float = Field(gt=0, lt=1)
    expected_batch: float = Field(gt=0, le=1e6)
    views_per_patient: int = Field(default=1, ge=1, le=1000)
    shared_noise: NoiseSharing | None = None

    @property
    def share_grid(self) -> ShareGrid | None:
        """Is what shares of noise are drawn on; None where noise is not shared."""
        if self.shared_noise is None:
            return None
        return ShareGrid(self.clip_norm, self.noise_multiplier or 0.0, self.expected_batch, self.shared_noise)

    @model_validator(mode="after")
    def _shares_can_be_added(self) -> Self:
        grid = self.share_grid
        if grid and self.steps_per_round != 1:
            raise ValueError(f"steps_per_round is {self.steps_per_round}, expected 1: shared_noise is of one sum")
        if grid and self.noise_multiplier is not None and grid.sigma < MIN_SHARE_SIGMA:
            raise ValueError(
                f"a share of the noise has {grid.sigma} grid steps, expected at least {MIN_SHARE_SIGMA}: lower "
                "expected_batch, or raise noise_multiplier, so that the sum of all sites can hold it"
            )
        return self


class AdaptiveClipConfig(FrozenModel):
    """Has the clip bound follow a quantile of the hospitals' updates; see `adaptive_clip`.

    Attributes:
        quantile: Fraction of updates that the bound should let pass unshortened.
        learning_rate: How fast the bound moves: by at most this exponent for a fraction that is wrong by one.
        count_noise_multiplier: Standard deviation of the noise on `within - beyond`, whose sensitivity is 1.
        least_clip_norm: The bound never falls below it.
        greatest_clip_norm: The bound never rises above it; sites shorten what they send to it.
    """

    quantile: float = Field(gt=0, lt=1)
    learning_rate: float = Field(gt=0, le=1)
    count_noise_multiplier: float = Field(ge=MIN_NOISE_MULTIPLIER, le=MAX_NOISE_MULTIPLIER)
    least_clip_norm: float = Field(gt=0, le=MAX_ABSOLUTE_VALUE)
    greatest_clip_norm: float = Field(gt=0, le=MAX_ABSOLUTE_VALUE)


class HospitalMechanismConfig(SpareDraws):
    """Is a job's privacy section for the unit hospital (noise once, at the server, on the sum).

    Attributes:
        clip_norm: l2 bound of one hospital's update, over all parameters together; of the first round's, where it
            adapts.
        noise_multiplier: Standard deviation of the noise on the sum over `clip_norm`, and what is accounted for; where
            the bound adapts, of the sum and the count together. None for a comparison run without noise, which gives
            no guarantee.
        sites: What the sum is divided by: the public number of sites in the job, whoever answered.
        delta: Of the claim.
        adaptive_clip: How the bound adapts; None keeps it.

    How many draws its run may lose to crashes is said by `SpareDraws`.
    """

    unit: Literal["hospital"]
    clip_norm: float = Field(gt=0, le=MAX_ABSOLUTE_VALUE)
    noise_multiplier: float | None = Field(ge=MIN_NOISE_MULTIPLIER, le=MAX_NOISE_MULTIPLIER)
    sites: int = Field(ge=1, le=MAX_SUMMANDS)
    delta: float = Field(gt=0, lt=1)
    adaptive_clip: AdaptiveClipConfig | None = None

    @property
    def sum_noise_multiplier(self) -> float:
        """Is the noise on the sum over the bound; more than `noise_multiplier` where the count takes its share.

        Source: Andrew et al., NeurIPS 2021, theorem 1.
        """
        noise, adaptive = self.noise_multiplier, self.adaptive_clip
        if noise is None or adaptive is None:
            return noise or 0.0
        return 1 / math.sqrt(noise**-2 - adaptive.count_noise_multiplier**-2)

    @property
    def greatest_clip_norm(self) -> float:
        """Is the largest bound that any round can have: what a site, which knows no round's bound, shortens to."""
        return self.adaptive_clip.greatest_clip_norm if self.adaptive_clip else self.clip_norm

    @model_validator(mode="after")
    def _bound_adapts_within_reason(self) -> Self:
        noise, adaptive = self.noise_multiplier, self.adaptive_clip
        if adaptive is None:
            return self
        if not adaptive.least_clip_norm <= self.clip_norm <= adaptive.greatest_clip_norm:
            raise ValueError("expected adaptive_clip.least_clip_norm <= clip_norm <= adaptive_clip.greatest_clip_norm")
        if noise is None:
            return self
        of_fraction, needed = adaptive.count_noise_multiplier / (2 * self.sites), noise / (2 * MOST_NOISE_OF_FRACTION)
        if adaptive.count_noise_multiplier <= noise or of_fraction > MOST_NOISE_OF_FRACTION:
            raise ValueError(
                f"adaptive_clip.count_noise_multiplier is {adaptive.count_noise_multiplier:g}, expected more than "
                f"noise_multiplier ({noise:g}) and at most {2 * MOST_NOISE_OF_FRACTION * self.sites:g} with "
                f"{self.sites} sites: beyond that the bound follows its noise. With this noise_multiplier a bound can "
                f"adapt from {math.floor(needed) + 1} hospitals on; with fewer, fix clip_norm from public data"
            )
        if self.sum_noise_multiplier > MAX_NOISE_MULTIPLIER:
            raise ValueError("adaptive_clip.count_noise_multiplier leaves nearly nothing for the updates: raise it")
        return self

    @model_validator(mode="after")
    def _noise_spans_the_grid(self) -> Self:
        least = self.adaptive_clip.least_clip_norm if self.adaptive_clip else self.clip_norm
        if self.noise_multiplier is not None and self.noise_multiplier * least * GRID < MIN_GRID_SIGMA:
            raise ValueError(
                f"noise_multiplier * the least clip bound is {self.noise_multiplier * least:g}, "
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
