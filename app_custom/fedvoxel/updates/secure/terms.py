"""What a hospital and its job ask of a round before anything of the hospital goes into its sum."""

from collections.abc import Collection
from dataclasses import dataclass

from fedvoxel.errors import UpdateError
from fedvoxel.updates.secure.config import SecureConfig, threshold
from fedvoxel.updates.secure.identity import Lists
from fedvoxel.updates.secure.session import Roster


@dataclass(frozen=True)
class Terms:
    """Are the limits of one hospital.

    Attributes:
        least_sites: Fewest sites in the sum.
        most_sites: Most sites on the roster, where the job counts on their number; None takes any.
        colluders: Other sites that may side with the server.
        partners: The sites that the hospital adds up with, itself among them; None takes any site of the consortium.
        never: Names that are no site's, whatever certificate they show: the server's own.
        lists: The revocation lists in the hospital's kit: who is on one signs nothing that counts here.
    """

    least_sites: int = 0
    most_sites: int | None = None
    colluders: int = 0
    partners: Collection[str] | None = None
    never: Collection[str] = ()
    lists: Lists = ()

    def check(self, roster: Roster, own: str, config: SecureConfig) -> int:
        """Returns how many sites have to stay to the end of a round with this roster.

        Raises:
            UpdateError: The sites are too few or too many, or not those that the hospital knows, or were given another
                task than this one; or the colluders could have two lists of who is in the sum signed.
        """
        strangers = sorted(set(roster) - set(self.partners)) if self.partners is not None else []
        strangers += sorted(set(roster) & set(self.never))
        if strangers:
            raise UpdateError(f"sites that this hospital adds up with nobody of: {', '.join(strangers[:5])}")
        if self.most_sites is not None and len(roster) > self.most_sites:
            raise UpdateError(f"{len(roster)} sites, expected {self.most_sites} at most: the job counts on so many")
        other = sorted(site for site, each in roster.items() if each.task != roster[own].task)
        if other:
            raise UpdateError(f"sites that were given another task than this one: {', '.join(other[:5])}")
        stay = threshold(len(roster), config)
        if not stay or stay < self.least_sites or 2 * stay - len(roster) <= self.colluders:
            raise UpdateError(
                f"{len(roster)} sites of which {config.dropouts} may drop out are too few to hide one: expected "
                f"{max(config.least_sites, self.least_sites)} in the sum at least, and so many that {self.colluders} "
                "who side with the server cannot have two sums signed"
            )
        return stay


ANY = Terms()
"""Asks nothing beyond what the protocol needs."""
