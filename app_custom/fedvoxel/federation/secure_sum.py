"""The sum of a round that secure aggregation has added up: the server never sees a single site's update.

Each site sends its update times its number of cases, in whole steps that are the same everywhere (see
`updates.secure.grid`); their sum over the sum of the cases is the mean that `CaseWeightedSum` gives. How wide a step is
follows from what was added up before, which everybody knows, so that a narrow ring wastes none of its levels.
"""

import math
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.federation.round_sum import RoundSum
from fedvoxel.updates.secure.config import SecureConfig
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.update import Layout, Update

_FIRST_BITS = 32
_FIRST_RANGE = 1.0
"""Largest value of an update in the first round, whose scale nobody knows; what is larger is sent in later rounds."""

_RANGE = 4.0
"""Largest value of a site's part over the root mean square of the last sum: one site alone may have made all of it."""

_LEAST_RANGE = 1e-9


class SecureScale:
    """Chooses the ring and the steps of each round."""

    def __init__(self, config: SecureConfig, layout: Layout, most_cases: int) -> None:
        """Starts before the first round; `most_cases` is the largest weight that a site may have."""
        self._bits = config.bits
        self._ranges: dict[str, float] | None = None
        self._first = dict.fromkeys(layout, _FIRST_RANGE * most_cases)

    @property
    def ring(self) -> Ring:
        """Is the open round's ring."""
        return Ring(_FIRST_BITS if self._ranges is None else self._bits)

    def steps(self, sites: int) -> dict[str, float]:
        """Returns the width of a step by array name, with so many sites in the round.

        Raises:
            UpdateError: The ring has no level for each of so many sites.
        """
        most = self.ring.most(sites)
        if not most:
            raise UpdateError(f"secure_aggregation.bits: {self.ring.bits} bits hold no sum of {sites} sites; use more")
        return {name: widest / most for name, widest in (self._ranges or self._first).items()}

    def note(self, total: Mapping[str, NDArray[np.float64]]) -> None:
        """Takes a committed round's sum, in its own units, for the next round's steps."""
        self._ranges = {
            name: max(_LEAST_RANGE, _RANGE * math.sqrt(float(np.mean(np.square(array)))))
            for name, array in total.items()
        }


class SecureSum(RoundSum):
    """Is the case-weighted mean of updates that arrive as one sum."""

    def __init__(self, layout: Layout, most_cases: int) -> None:
        """Starts empty; `most_cases` is the largest weight that a site may have."""
        self._layout, self._most_cases = layout, most_cases
        self._sites, self._cases = 0, 0
        self.total: dict[str, NDArray[np.float64]] = {}
        """The sum of all updates times cases."""

    @property
    def count(self) -> int:
        """See `RoundSum`."""
        return self._sites

    def add(self, update: Update) -> None:
        """See `RoundSum`; a single site's update is never taken."""
        raise UpdateError("an update of its own in a round of secure aggregation: expected a masked one")

    def take(
        self, whole: Mapping[str, NDArray[np.int64]], steps: Mapping[str, float], cases: int, sites: Collection[str]
    ) -> None:
        """Takes the sum of all sites.

        Args:
            whole: Sum of the sites' whole steps by array name.
            steps: Width of a step.
            cases: Sum of the sites' cases.
            sites: Who is in it.

        Raises:
            UpdateError: The number of cases is none that so many sites can have.
        """
        if not 1 <= cases <= self._most_cases * len(sites):
            raise UpdateError(f"absurd weight: {cases} cases at {len(sites)} sites, each at most {self._most_cases}")
        self.total = {name: np.multiply(array, steps[name], dtype=np.float64) for name, array in whole.items()}
        self._cases, self._sites = cases, len(sites)

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """See `RoundSum`."""
        if not self._cases:
            raise UpdateError("no sum has come")
        return {name: (array / self._cases).astype(np.float32) for name, array in self.total.items()}
