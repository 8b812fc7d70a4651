"""What an index of releases says about the gates that a package has passed."""

from typing import Annotated

from pydantic import Field, PositiveInt

from fedvoxel.config import FrozenModel
from fedvoxel.records.names import Sha256


class PromotionEvidence(FrozenModel):
    """Is by what a package was promoted; who promotes signs it, and has looked at what the hashes name.

    Attributes:
        policy: SHA-256 of the policy's canonical JSON.
        against: Identity of the package that was released before; None for a first release.
        hospitals: How many hospitals' reports were counted.
        reports: SHA-256 of each report's bytes that counted: evaluations and privacy audits.
    """

    policy: Sha256
    against: Sha256 | None = None
    hospitals: PositiveInt
    reports: Annotated[tuple[Sha256, ...], Field(min_length=1, max_length=1000)]

    @property
    def words(self) -> str:
        """Is the evidence for people."""
        return f"policy {self.policy[:12]}…, {self.hospitals} hospitals"
