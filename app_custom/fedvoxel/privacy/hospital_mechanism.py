"""The hospital-level mechanism: noise once, at the server, on the sum of clipped updates with uniform weights.

Clip, sum and noise are exact whole-number arithmetic on a grid of 2**-32, so that floating-point attacks have nothing
to hold on to; only the division by the public number of sites is not exact, and it comes after the noise. The
accountant computes with the Gaussian rounded to that grid, which is a released Gaussian looked at more coarsely; what
is drawn is the discrete Gaussian. The two differ, in total variation, by about 0.02 / sigma^2 for each parameter, with
sigma in grid steps. `MIN_GRID_SIGMA` keeps that below 5e-18: ten million parameters over a hundred rounds add less
than 5e-9 (1 + exp(epsilon)) to delta at the very least noise, and 4096 times less where the noise is 1.

What is hidden is what a hospital gave: any update of its, or zero in its place. That it took part is not: outcomes,
logs and whoever watches the network name the sites.

The clip bound is fixed, or adapts to the updates (`adaptive_clip`) where there are hospitals enough: at five to fifty
of them the noise on the adapted quantile would be larger than the quantile.

Source: McMahan et al., "Learning differentially private recurrent language models", ICLR 2018, with fixed denominator
and full participation.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.privacy.adaptive_clip import next_clip_norm
from fedvoxel.privacy.clipping import GRID, ClippedSum, ClippedUpdate, clip_update
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.guarantee import Guarantee
from fedvoxel.privacy.noise import Noise, SecureNoise
from fedvoxel.privacy.sections import HospitalMechanismConfig
from fedvoxel.privacy.spare_draws import rounds_and_spare
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.update import Arrays, Layout

ADVERSARY = (
    "sees every global model and knows all other hospitals' updates and which hospitals take part, while the server is "
    "trusted with the updates that it receives and to add the noise, and timing and other side channels are left out"
)

ADVERSARY_OF_SUMS = (
    "sees every global model and knows all other hospitals' updates and which hospitals take part, while each hospital "
    "clips its update by the approved software, secure aggregation holds, the server is trusted to add the noise to "
    "the sum, and timing and other side channels are left out"
)

RING_BITS = 32
"""Secure aggregation adds the hospitals' whole numbers modulo 2 to this power."""


class HospitalMechanism:
    """Protects what each hospital contributes, as a whole, with uniform weights, where the server is trusted.

    Attributes:
        config: Everything that decides the guarantee.
        clip_norm: The bound of the present round, in the units of the parameters.
    """

    def __init__(self, config: HospitalMechanismConfig, noise: Noise | None = None) -> None:
        """Takes the job's section.

        Args:
            config: Everything that decides the guarantee.
            noise: `SecureNoise` unless given; with any other the mechanism makes no claim.
        """
        self.config, self.clip_norm = config, config.clip_norm
        self._noise = noise or SecureNoise()

    @property
    def grid_sigma(self) -> int:
        """Is the noise's standard deviation on the sum in grid steps, rounded up; 0 without noise."""
        return math.ceil(self.config.sum_noise_multiplier * self.clip_norm * GRID)

    def clip(self, arrays: Arrays) -> ClippedUpdate:
        """Bounds one hospital's update; see `clipping.clip_update`."""
        return clip_update(arrays, self.clip_norm)

    def clip_at_site(self, arrays: Arrays) -> dict[str, NDArray[np.float32]]:
        """Returns the update as a hospital sends it, in float32, shortened to the largest bound that a round can have.

        What the guarantee rests on is the server's own clip; this keeps what leaves in proportion. Whether an update is
        within a round's bound is still to be told from it, as the server has to.
        """
        grid = clip_update(arrays, self.config.greatest_clip_norm).grid
        return {name: (array / GRID).astype(np.float32) for name, array in grid.items()}

    @property
    def ring_step(self) -> int:
        """Is the width of a step of secure aggregation, in steps of the grid: a power of two that leaves no overflow.

        Each of the sites sends whole numbers of at most `Ring.most`, which the clip bound, as the largest value of an
        update, does not pass.
        """
        most = Ring(RING_BITS).most(self.config.sites)
        return int(2 ** max(0, math.ceil(math.log2(self.config.clip_norm * GRID / most))))

    def ring_part(self, arrays: Arrays) -> dict[str, NDArray[np.int64]]:
        """Returns one hospital's clipped update in steps of secure aggregation, rounded towards zero.

        Raises:
            UpdateError: A value is not a float, not finite, or absurdly large.
        """
        grid = clip_update(arrays, self.config.clip_norm).grid
        return {name: np.sign(array) * (np.abs(array) // self.ring_step) for name, array in grid.items()}

    def sum_of(self, total: Mapping[str, NDArray[np.int64]], sites: int, layout: Layout) -> ClippedSum:
        """Returns what secure aggregation has added up of so many hospitals' parts, as a sum that gets noise.

        Raises:
            UpdateError: It has another layout.
        """
        found = ClippedSum(layout, self.clip_norm)
        found.add_total({name: array * self.ring_step for name, array in total.items()}, sites)
        return found

    def new_sum(self, layout: Layout) -> ClippedSum:
        """Returns an empty sum for updates that this mechanism clipped in this round, each with weight one."""
        return ClippedSum(layout, self.clip_norm)

    def release(self, total: ClippedSum) -> dict[str, NDArray[np.float32]]:
        """Returns (sum + noise) / sites in float32, and adapts the bound for the next round. A sum is released once.

        A hospital that did not answer counts as zero; the divisor stays the same.

        Raises:
            UpdateError: Nothing was added, more was added than there are sites, the sum was clipped to another bound,
                or it was released before.
        """
        if total.clip_norm != self.clip_norm:
            raise UpdateError(f"wrong clip bound: expected {self.clip_norm:g}, got {total.clip_norm:g}")
        if not 1 <= total.count <= self.config.sites:
            raise UpdateError(f"expected between 1 and {self.config.sites} updates in the sum, got {total.count}")
        divisor = float(GRID * self.config.sites)
        mean = {name: (self._noised(grid) / divisor).astype(np.float32) for name, grid in total.take().items()}
        self.clip_norm = next_clip_norm(self.config, total, self._noise)
        return mean

    def round_event(self) -> GaussianEvent:
        """Returns what one round costs, with the noised count of an adaptive bound in it.

        Every hospital takes part, so nothing is gained by sampling.
        """
        return self._event(1)

    def events(self, rounds: int) -> tuple[GaussianEvent, ...]:
        """Returns what `rounds` rounds cost together, and no more: `guarantee` counts spare draws too."""
        return (self._event(rounds),) if rounds else ()

    def guarantee(self, rounds: int, in_sums: bool = False) -> Guarantee | None:
        """Returns what may be claimed of `rounds` rounds and the spare draws; None where there is no guarantee.

        Args:
            rounds: Rounds of the run.
            in_sums: Whether the server sees the sum of the hospitals' updates only.
        """
        if not self._noise.gives_guarantee:
            return None
        said = rounds_and_spare(rounds, self.config.spare_draws)
        # Here, not above: a trainer adds noise and needs no accountant, which takes a second to import.
        from fedvoxel.privacy.accounting import claim

        return claim(
            "hospital",
            self.events(self.config.draws(rounds)),
            self.config.delta,
            adversary=ADVERSARY_OF_SUMS if in_sums else ADVERSARY,
            composition=f"{said} of this job, in each of which every hospital counts as taking part, since no round "
            "samples them (other jobs add up)",
        )

    def _event(self, count: int) -> GaussianEvent:
        return GaussianEvent(
            noise_multiplier=self.config.noise_multiplier or 0.0, sampling_probability=1.0, count=count
        )

    def _noised(self, grid: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.config.noise_multiplier is None:
            return grid
        return grid + self._noise.discrete_gaussian(grid.shape, self.grid_sigma)
