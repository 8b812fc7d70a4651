"""What one round adds its updates up to: a mean weighted by cases, or one with uniform weights and a mechanism's noise.

Each is opened for one round, takes updates as they arrive, and is asked once for what the round makes of them.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.federation.aggregation import FixedPointMean
from fedvoxel.updates.update import PUBLIC_WEIGHT, Layout, Update, check_case_count, check_layout

if TYPE_CHECKING:
    from fedvoxel.privacy.hospital_mechanism import HospitalMechanism


class RoundSum(ABC):
    """Is the open sum of one round."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Is the number of updates in it."""

    @abstractmethod
    def add(self, update: Update) -> None:
        """Adds one site's update as a whole or not at all.

        Raises:
            UpdateError: It is not acceptable.
        """

    @abstractmethod
    def mean(self) -> dict[str, NDArray[np.float32]]:
        """Returns what the round makes of its updates, in float32.

        Raises:
            UpdateError: Nothing was added, or the sum was given out before.
        """


class CaseWeightedSum(RoundSum):
    """Weighs each update by the number of cases behind it."""

    def __init__(self, layout: Layout, most_cases: int) -> None:
        """Starts empty; `most_cases` is the largest weight that a site may claim."""
        self._layout, self._most_cases = layout, most_cases
        self._mean = FixedPointMean(layout)

    @property
    def count(self) -> int:
        """See `RoundSum`."""
        return self._mean.count

    def add(self, update: Update) -> None:
        """See `RoundSum`."""
        weight = check_case_count(update.case_count, self._most_cases)
        check_layout(update.arrays, self._layout)
        self._mean.add(update.arrays, weight)

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """See `RoundSum`."""
        return self._mean.mean()


class NoisedSum(RoundSum):
    """Clips each hospital's update, gives each the same weight, and adds noise once, when the mean is taken."""

    def __init__(self, layout: Layout, mechanism: "HospitalMechanism") -> None:
        """Starts empty, under the mechanism's bound for this round."""
        self._layout, self._mechanism = layout, mechanism
        self._sum = mechanism.new_sum(layout)

    @property
    def count(self) -> int:
        """See `RoundSum`."""
        return self._sum.count

    def add(self, update: Update) -> None:
        """See `RoundSum`; any weight but `PUBLIC_WEIGHT` is refused, and so is one update more than there are sites."""
        sites = self._mechanism.config.sites
        if type(update.case_count) is not int or update.case_count != PUBLIC_WEIGHT:
            raise UpdateError(
                f"absurd weight: every hospital counts as {PUBLIC_WEIGHT} under this privacy mechanism, "
                f"got {update.case_count!r}"
            )
        if self.count >= sites:
            raise UpdateError(f"one update too many: the privacy section divides by {sites} sites")
        check_layout(update.arrays, self._layout)
        self._sum.add(self._mechanism.clip(update.arrays))

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """See `RoundSum`: the sum with its noise over the public number of sites, whoever answered; once."""
        return self._mechanism.release(self._sum)
