"""Which sites are asked in a round: the rules that a job can name."""

import math
from typing import Annotated, Literal

from pydantic import Field

from fedvoxel.config import FrozenModel

_Share = Annotated[float, Field(gt=0, le=1)]


class AllSites(FrozenModel):
    """Configures that every connected site is asked in every round."""

    name: Literal["all"] = "all"


class _Some(FrozenModel):
    """Is what every other rule has.

    Attributes:
        fraction: Share of the sites that is asked, rounded up, but never fewer than the round needs.
        most_rounds_left_out: A site that was left out of so many rounds in a row comes first in the next one.
        seed: Makes the draws reproducible.
    """

    fraction: _Share = 0.5
    most_rounds_left_out: int = Field(default=3, ge=1, le=1000)
    seed: int = Field(default=1, ge=0, lt=2**32)

    def wanted(self, sites: int, needed: int) -> int:
        """Returns how many of `sites` are asked in a round that needs `needed` updates."""
        return min(sites, max(needed, math.ceil(self.fraction * sites)))


class RandomSites(_Some):
    """Configures sites drawn with the same chance. No accountant is told of it: who takes part is no secret."""

    name: Literal["random"]


class SitesByCases(_Some):
    """Configures sites drawn with chances in proportion to their last reported training cases."""

    name: Literal["by_cases"]


class PowerOfChoice(_Some):
    """Configures the sites with the largest losses among `candidates` drawn by cases.

    Source: Cho et al., "Towards Understanding Biased Client Selection in Federated Learning", AISTATS 2022, section 4,
    with d = `candidates`.
    """

    name: Literal["power_of_choice"]
    candidates: _Share = 0.8


class Oort(_Some):
    """Configures sites drawn by their utility: what their losses promise, less for those that are slow.

    A share of the sites, `exploration` at first and then less, is drawn from those never tried.

    Attributes:
        preferred_s: Seconds T beyond which a site's utility is multiplied by (T / t)**alpha; null counts no time.
        alpha: Strength of that penalty.
        exploration: Share of a round's sites that is drawn from those never tried, times 0.98 for each round.

    Source: Lai et al., "Oort: Efficient Federated Learning via Guided Participant Selection", OSDI 2021, equation 1 and
    Algorithm 1, with the reported mean loss in the place of the root of the mean squared loss, which no site reports.
    """

    name: Literal["oort"]
    preferred_s: float | None = Field(default=None, gt=0)
    alpha: float = Field(default=2.0, ge=0, le=10)
    exploration: float = Field(default=0.9, ge=0, le=1)


class WithinDeadline(_Some):
    """Configures the sites whose last round took no longer than `deadline_s`; those never tried are tried."""

    name: Literal["deadline"]
    deadline_s: float = Field(gt=0)
    fraction: _Share = 1.0


Selective = RandomSites | SitesByCases | PowerOfChoice | Oort | WithinDeadline
SelectionConfig = Annotated[AllSites | Selective, Field(discriminator="name")]
EVERYBODY = AllSites()
