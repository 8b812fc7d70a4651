"""What a mechanism did to private data, as the accountant has to know it: nothing but the parameters of the noise.

Events are stored as parameters and never as an epsilon: epsilons of single steps do not add up tightly, and a better
accountant can be asked later.
"""

from pydantic import Field, field_validator

from fedvoxel.config import FrozenModel

MAX_COUNT = 1_000_000
"""Most compositions that one event may stand for, and a run's plan in all: the accountant takes two seconds for them,
and most of a minute for ten times as many."""

MIN_NOISE_MULTIPLIER = 0.01
"""Smallest noise multiplier of a mechanism that adds noise: far below it nobody is protected, and an accountant divides
by its square."""

MAX_NOISE_MULTIPLIER = 1e4
"""Largest noise multiplier of a mechanism; beyond it nothing but noise is released."""


class GaussianEvent(FrozenModel):
    """Says that Gaussian noise was added to a sum over a Poisson sample of the units, `count` times.

    Attributes:
        noise_multiplier: Standard deviation of the noise over the sum's sensitivity, without unit. 0 says that there
            was no noise, so that such a step still counts (as an infinite loss) instead of being left out.
        sampling_probability: Probability in (0, 1] with which each unit takes part in each sum, independently of the
            others; 1 where all take part. Shuffled batches of fixed size are no Poisson sample.
        count: Number of such sums that were released.
    """

    noise_multiplier: float = Field(ge=0)
    sampling_probability: float = Field(gt=0, le=1)
    count: int = Field(ge=1, le=MAX_COUNT)

    @field_validator("noise_multiplier")
    @classmethod
    def _none_or_enough_to_compute_with(cls, value: float) -> float:
        if 0 < value < MIN_NOISE_MULTIPLIER:
            raise ValueError(f"expected 0 (no noise) or at least {MIN_NOISE_MULTIPLIER}, got {value:g}")
        return value
