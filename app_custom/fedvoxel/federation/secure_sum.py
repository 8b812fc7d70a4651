"""The sum of a round that secure aggregation has added up: the server never sees a single site's update.

Each site sends its update times its number of cases, in whole steps that are the same everywhere (see
`updates.secure.grid`); their sum over the sum of the cases is the mean that `CaseWeightedSum` gives. How wide a step is
follows from what was added up before, which everybody knows, so that a narrow ring wastes none of its levels.
"""

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.federation.round_sum import RoundSum
from fedvoxel.federation.snapshot import Snapshot
from fedvoxel.updates.secure.config import SecureConfig
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.update import PUBLIC_WEIGHT, Layout, Update

if TYPE_CHECKING:
    from fedvoxel.privacy.clipping import ClippedSum
    from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
    from fedvoxel.privacy.shared_noise import SharedNoise

Whole = Mapping[str, NDArray[np.int64]]
"""Whole numbers of steps by array name."""

RING_BITS = 32
"""Width of the first round's ring, and of every round's under a privacy mechanism."""

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
        return Ring(RING_BITS if self._ranges is None else self._bits)

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

    def snapshot(self) -> Snapshot:
        """Returns what the last sum has shown."""
        return Snapshot({"ranges": self._ranges})

    def restore(self, kept: Snapshot) -> None:
        """Takes it back."""
        self._ranges = kept.values["ranges"]


class FixedScale:
    """Is the ring and the steps of rounds under a privacy mechanism, which every site knows from the job."""

    ring = Ring(RING_BITS)

    def __init__(self, layout: Layout) -> None:
        """Takes the layout; steps are whole ones of the mechanism's own."""
        self._steps = dict.fromkeys(layout, 1.0)

    def steps(self, sites: int) -> dict[str, float]:
        """See `SecureScale.steps`."""
        return self._steps

    def note(self, total: Mapping[str, NDArray[np.float64]]) -> None:
        """Changes nothing: what was released does not choose the grid."""

    def snapshot(self) -> Snapshot:
        """Returns nothing: all follows from the job."""
        return Snapshot()

    def restore(self, kept: Snapshot) -> None:
        """Takes nothing back."""


Scale = SecureScale | FixedScale
"""A run's grids."""


class TotalSum(RoundSum):
    """Is the sum of a round that arrives as one."""

    def __init__(self) -> None:
        """Starts empty."""
        self._sites = 0

    @property
    def count(self) -> int:
        """See `RoundSum`."""
        return self._sites

    def add(self, update: Update) -> None:
        """See `RoundSum`; a single site's update is never taken."""
        raise UpdateError("an update of its own in a round of secure aggregation: expected a masked one")

    @abstractmethod
    def take(self, whole: Whole, steps: Mapping[str, float], cases: int, sites: Collection[str]) -> None:
        """Takes the sum of all sites.

        Args:
            whole: Sum of the sites' whole steps by array name.
            steps: Width of a step.
            cases: Sum of the sites' cases.
            sites: Who is in it.

        Raises:
            UpdateError: It is none that so many sites can have.
        """


class SecureSum(TotalSum):
    """Is the case-weighted mean of updates."""

    def __init__(self, most_cases: int) -> None:
        """Starts empty; `most_cases` is the largest weight that a site may have."""
        super().__init__()
        self._most_cases, self._cases = most_cases, 0
        self.total: dict[str, NDArray[np.float64]] = {}
        """The sum of all updates times cases."""

    def take(self, whole: Whole, steps: Mapping[str, float], cases: int, sites: Collection[str]) -> None:
        """See `TotalSum`."""
        if not 1 <= cases <= self._most_cases * len(sites):
            raise UpdateError(f"absurd weight: {cases} cases at {len(sites)} sites, each at most {self._most_cases}")
        self.total = {name: np.multiply(array, steps[name], dtype=np.float64) for name, array in whole.items()}
        self._cases, self._sites = cases, len(sites)

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """See `RoundSum`."""
        if not self._cases:
            raise UpdateError("no sum has come")
        return {name: (array / self._cases).astype(np.float32) for name, array in self.total.items()}


class NoisedTotal(TotalSum):
    """Is the sum of updates that the hospitals have clipped, and gets a mechanism's noise when the mean is taken."""

    def __init__(self, layout: Layout, mechanism: "HospitalMechanism") -> None:
        """Starts empty, under the mechanism's bound."""
        super().__init__()
        self._layout, self._mechanism = layout, mechanism
        self._sum: ClippedSum | None = None

    def take(self, whole: Whole, steps: Mapping[str, float], cases: int, sites: Collection[str]) -> None:
        """See `TotalSum`."""
        _check_uniform(cases, len(sites))
        self._sum, self._sites = self._mechanism.sum_of(whole, len(sites), self._layout), len(sites)

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """See `RoundSum`: the sum with its noise over the public number of sites, whoever answered; once."""
        if self._sum is None:
            raise UpdateError("no sum has come")
        return self._mechanism.release(self._sum)


class SharedTotal(TotalSum):
    """Is the sum of gradients to which each site has added a share of the noise."""

    def __init__(self, layout: Layout, mechanism: "SharedNoise") -> None:
        """Starts empty, under the mechanism's grid."""
        super().__init__()
        self._layout, self._mechanism = layout, mechanism
        self._total: Whole | None = None

    def take(self, whole: Whole, steps: Mapping[str, float], cases: int, sites: Collection[str]) -> None:
        """See `TotalSum`."""
        _check_uniform(cases, len(sites))
        least = self._mechanism.grid.sharing.least_sites
        if len(sites) < least:
            raise UpdateError(f"a sum of {len(sites)} sites' noise, expected {least} at least")
        self._total, self._sites = whole, len(sites)

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """See `RoundSum`: the way down the mean gradient, which the server's optimiser takes a step along."""
        if self._total is None:
            raise UpdateError("no sum has come")
        return {name: -array for name, array in self._mechanism.mean(self._total).items()}


def _check_uniform(cases: int, sites: int) -> None:
    if cases != PUBLIC_WEIGHT * sites:
        raise UpdateError(f"absurd weight: {cases} for {sites} sites, each of which counts as {PUBLIC_WEIGHT}")
