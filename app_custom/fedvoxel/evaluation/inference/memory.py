"""Keeps a prediction within the memory that it may take: what does not fit is refused before it is asked for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from fedvoxel.evaluation.inference.refusal import prediction_error

MIB = 2**20
_PREPARING_BYTES = 36
"""For each voxel while an image is prepared: the volume in float32, its copy in float64, and what finding percentiles
takes, with some room."""


@dataclass(frozen=True)
class MemoryBound:
    """Is the resident memory that this process may reach, everything included.

    Attributes:
        limit_mb: In MiB.
    """

    limit_mb: int

    def left(self) -> int:
        """Returns how many bytes may still be taken."""
        return self.limit_mb * MIB - resident_bytes()

    def require(self, needed: int, what: str) -> None:
        """Refuses what would pass the bound.

        Raises:
            PredictionError: too_large_for_memory.
        """
        left = self.left()
        if needed > left:
            total = math.ceil((self.limit_mb * MIB - left + needed) / MIB)
            found = f"{what} would take about {total} MiB, and {self.limit_mb} are allowed"
            raise prediction_error("too_large_for_memory", found)

    def require_preparing(self, shape: Sequence[int]) -> None:
        """Refuses a volume that could not be read and prepared within the bound.

        Raises:
            PredictionError: too_large_for_memory.
        """
        self.require(math.prod(shape) * _PREPARING_BYTES, "preparing the image")


def resident_bytes() -> int:
    """Returns the resident memory of this process."""
    return int(psutil.Process().memory_info().rss)
