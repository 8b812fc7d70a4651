"""The package that is to be promoted, and what the index has released in its place now."""

from dataclasses import dataclass
from typing import Self

from fedvoxel.export.origin import ModelOrigin, read_guarantee, read_model_origin
from fedvoxel.privacy.guarantee import Guarantee


@dataclass(frozen=True)
class Candidate:
    """Is what reports have to be about.

    Attributes:
        name: The model's.
        sha256: The package's identity.
        structures: What the model finds.
        against: Identity of the package that readers get now; None where there is none.
        origin: Which run the model is of; None where the package does not say.
        guarantee: What is guaranteed of it; None for nothing.
    """

    name: str
    sha256: str
    structures: frozenset[str]
    against: str | None
    origin: ModelOrigin | None
    guarantee: Guarantee | None

    @classmethod
    def of(
        cls, name: str, sha256: str, structures: frozenset[str], against: str | None, provenance: bytes | None
    ) -> Self:
        """Returns the candidate that a package is, with what its `provenance.json` says; None where it has none.

        Raises:
            PackageError: The provenance cannot be read.
        """
        origin = None if provenance is None else read_model_origin(provenance)
        guarantee = None if provenance is None else read_guarantee(provenance)
        return cls(name, sha256, structures, against, origin, guarantee)
