"""The job's setting for secure aggregation."""

from pydantic import Field

from fedvoxel.config import FrozenModel

FEWEST_SITES = 3
"""With two, each would learn the other's update by taking its own away from the sum."""


class SecureConfig(FrozenModel):
    """Configures secure aggregation.

    Attributes:
        bits: Width of one masked value; the sum of all sites has to fit, so that each site has the more levels the
            wider it is. The first round, whose scale nobody knows, always takes 32.
        dropouts: Sites that may vanish in the middle of a round. Whoever controls the server and as many other sites as
            stay at least can unmask, so that fewer dropouts are safer.
        least_sites: Fewest sites in a sum.
    """

    bits: int = Field(default=16, ge=8, le=32)
    dropouts: int = Field(default=1, ge=0, le=100)
    least_sites: int = Field(default=FEWEST_SITES, ge=FEWEST_SITES, le=10_000)


def threshold(sites: int, config: SecureConfig) -> int:
    """Returns how many of `sites` have to stay to the end of a round; 0 where that would protect nobody.

    More than half, so that the sites cannot be told two stories of who is in the sum: each would need the signatures of
    so many, and a site signs one. With c sites that side with the server and sign both, that holds while c is less
    than 2 threshold - sites; each site checks that by its own terms.

    Source: Bonawitz et al., section 6.2 and theorem 6.5.
    """
    least = max(config.least_sites, sites - config.dropouts)
    return least if least <= sites < 2 * least else 0
