"""What a hospital's policy asks of the sums that its updates may leave in."""

from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.updates.secure.config import FEWEST_SITES


class InSums(FrozenModel):
    """Says that updates about a cohort leave masked only, in sums; under a budget, that its noise may be shared.

    Attributes:
        least_sites: Fewest sites that have to be in the sum.
        partners: The sites of the consortium that this one adds up with, itself among them. Who issues certificates can
            invent sites, but not under these names without replacing theirs.
        colluders: Other sites that may side with the server. A sum of which so many could have two versions signed is
            refused, and a job whose noise is shared has to count on as many at least.
    """

    least_sites: int = Field(ge=FEWEST_SITES, le=10_000)
    colluders: int = Field(default=1, ge=0, le=10_000)
    partners: tuple[str, ...] = Field(min_length=FEWEST_SITES)
