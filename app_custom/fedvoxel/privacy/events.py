"""What a mechanism did to private data, as the accountant has to know it: nothing but the parameters of the noise.

Events are stored as parameters and never as an epsilon: epsilons of single steps do not add up tightly, and a better
accountant can be asked later.
"""

from collections import Counter
from collections.abc import Sequence

import dp_accounting
from pydantic import Field

from fedvoxel.config import FrozenModel

MAX_COUNT = 10_000_000
"""Most compositions that one event may stand for; a typing error should not keep an accountant busy for hours."""


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


def to_dp_event(events: Sequence[GaussianEvent]) -> dp_accounting.DpEvent:
    """Returns `events` in the accountant's own terms, with equal parameters merged.

    Merging changes no result and keeps the accountant fast: composing one step a thousand times with itself is one
    operation, a thousand steps one by one are a thousand.
    """
    counts: Counter[tuple[float, float]] = Counter()
    for event in events:
        counts[event.noise_multiplier, event.sampling_probability] += event.count
    composed = [
        dp_accounting.SelfComposedDpEvent(_one_step(noise_multiplier, probability), count)
        for (noise_multiplier, probability), count in counts.items()
    ]
    return dp_accounting.ComposedDpEvent(composed) if composed else dp_accounting.NoOpDpEvent()


def _one_step(noise_multiplier: float, sampling_probability: float) -> dp_accounting.DpEvent:
    gaussian = dp_accounting.GaussianDpEvent(noise_multiplier)
    if sampling_probability == 1:
        return gaussian
    return dp_accounting.PoissonSampledDpEvent(sampling_probability, gaussian)
