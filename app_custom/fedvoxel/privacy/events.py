"""What a mechanism did to private data, as the accountant has to know it: nothing but the parameters of the noise.

Events are stored as parameters and never as an epsilon: epsilons of single steps do not add up tightly, and a better
accountant can be asked later.
"""

from typing import Any, Self

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from fedvoxel.config import FrozenModel

MAX_COUNT = 1_000_000
"""Most compositions that one event may stand for, and a run's plan in all: the accountant takes two seconds for them,
and most of a minute for ten times as many."""

MIN_NOISE_MULTIPLIER = 0.01
"""Smallest noise multiplier of a mechanism that adds noise: far below it nobody is protected, and an accountant divides
by its square."""

MAX_NOISE_MULTIPLIER = 1e4
"""Largest noise multiplier of a mechanism; beyond it nothing but noise is released."""

MAX_SHARING_SITES = 1000
"""Most sites that may share the noise of one sum."""


class NoiseSharing(FrozenModel):
    """Says that the sites of a job each add a share of the noise of one sum; see `shared_noise`.

    Attributes:
        sites: Sites of the job, n.
        colluders: How many of them may put what they know together, beside the server, c: with 0 not one may even use
            what it knows of its own noise.
        dropouts: How many of them may be missing in a released sum, d.
    """

    sites: int = Field(ge=3, le=MAX_SHARING_SITES)
    colluders: int = Field(ge=0)
    dropouts: int = Field(ge=0)

    @property
    def least_shares(self) -> int:
        """Is how many shares of noise that nobody knows are in every released sum, at least: n - c - d."""
        return self.sites - self.colluders - self.dropouts

    @property
    def least_sites(self) -> int:
        """Is how many sites have to be in a sum before any of it may be shown: n - d."""
        return self.sites - self.dropouts

    @model_validator(mode="after")
    def _somebody_is_left_to_share_with(self) -> Self:
        if self.least_shares < 2:
            raise ValueError(
                f"sites - colluders - dropouts is {self.least_shares}, expected at least 2: with one each site adds "
                "the whole noise itself, for which no shared_noise is needed"
            )
        if self.colluders >= self.sites - 2 * self.dropouts:
            raise ValueError(
                f"colluders is {self.colluders}, expected less than sites - 2 dropouts, which is "
                f"{self.sites - 2 * self.dropouts}: so many could have two sums of one round signed"
            )
        return self


class GaussianEvent(FrozenModel):
    """Says that Gaussian noise was added to a sum over a Poisson sample of the units, `count` times.

    Attributes:
        noise_multiplier: Standard deviation of the noise over the sum's sensitivity, without unit. 0 says that there
            was no noise, so that such a step still counts (as an infinite loss) instead of being left out.
        sampling_probability: Probability in (0, 1] with which each unit takes part in each sum, independently of the
            others; 1 where all take part. Shuffled batches of fixed size are no Poisson sample.
        count: Number of such sums that were released.
        sharing: Whose shares the noise is made of; None where one release has the whole. It changes no epsilon, and
            makes what was drawn under it something else than what was drawn without: one share alone protects less.
    """

    noise_multiplier: float = Field(ge=0)
    sampling_probability: float = Field(gt=0, le=1)
    count: int = Field(ge=1, le=MAX_COUNT)
    sharing: NoiseSharing | None = None

    @field_validator("noise_multiplier")
    @classmethod
    def _none_or_enough_to_compute_with(cls, value: float) -> float:
        if 0 < value < MIN_NOISE_MULTIPLIER:
            raise ValueError(f"expected 0 (no noise) or at least {MIN_NOISE_MULTIPLIER}, got {value:g}")
        return value

    @model_serializer(mode="wrap")
    def _without_what_is_not_shared(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves the key out where nothing is shared, as ledgers have it that were written before there was one."""
        values: dict[str, Any] = handler(self)
        return {key: value for key, value in values.items() if key != "sharing" or value}
