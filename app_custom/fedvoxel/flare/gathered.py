"""What came of one question to the sites."""

from collections.abc import Collection
from dataclasses import dataclass, field

from fedvoxel.flare.messages import LACKS_MODEL


@dataclass(frozen=True)
class Gathered:
    """Says which sites gave no usable reply, and why: `missing` gave none, `refused` a wrong one.

    Attributes:
        slow: What is to be said of sites whose reply took unusually long.
        silent: Those of the missing of whom nothing came, and who may answer another time.
    """

    missing: dict[str, str]
    refused: dict[str, str]
    slow: dict[str, str] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()

    @property
    def lacking(self) -> list[str]:
        """Are the sites that have to be sent the whole model."""
        return [site for site, reason in self.missing.items() if reason == LACKS_MODEL]

    def asked_again(self, sites: Collection[str], again: "Gathered") -> "Gathered":
        """Returns this with what came of asking some of the sites a second time in place of the first."""
        missing, refused = (
            {site: reason for site, reason in absent.items() if site not in sites}
            for absent in (self.missing, self.refused)
        )
        silent = self.silent.difference(sites) | again.silent
        return Gathered(missing | again.missing, refused | again.refused, self.slow | again.slow, silent)
