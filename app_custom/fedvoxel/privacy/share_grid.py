"""The whole numbers that sites with shared noise send: how fine they are, how large, and how wide the noise is on them.

No overflow, proved: each of n sites sends whole numbers in [-limit, limit] with limit = floor((2^31 - 1) / n), so that
any sum of at most n of them lies in [-(2^31 - 1), 2^31 - 1]: 2^32 residues tell all of these apart, whatever was added.

A site's numbers are brought into that range after its noise was added, which is post-processing and costs no privacy.
It should not happen either, as it would bend the sum. The grid leaves room for the gradients of `_ROOM` patients and
`2 * expected_batch` more, all of length C and all along one parameter, and for `_SIGMAS` standard deviations of noise
beside them; a draw beyond those has a chance below 10^-32.

The share's standard deviation in steps is a whole number s with

    (n - c - d) s^2 >= (z C / step)^2 + 16,

in which 16 is what it takes to account for the sum of discrete Gaussians as for one continuous Gaussian; `shared_noise`
says why.
"""

import math
from dataclasses import dataclass

from fedvoxel.privacy.events import NoiseSharing

RING_BITS = 32
"""Secure aggregation adds whole numbers modulo 2 to this power."""

MIN_SHARE_SIGMA = 2**10
"""Least noise of a share, in grid steps: see `shared_noise`."""

SMOOTHING_VARIANCE = 16
"""What the variance of the sum's noise has more than (z C)^2, in squared grid steps."""

_ROOM = 8
_SIGMAS = 12


@dataclass(frozen=True)
class ShareGrid:
    """Is the grid of one job.

    Attributes:
        clip_norm: C, the l2 bound of one patient's gradient.
        noise_multiplier: z, of the noise on the sum of all sites; 0 without noise.
        expected_batch: Patients that a site's sum is about, a public number.
        sharing: The sites, n, and how many of them may collude, c, or be missing, d.
    """

    clip_norm: float
    noise_multiplier: float
    expected_batch: float
    sharing: NoiseSharing

    @property
    def limit(self) -> int:
        """Is the largest magnitude that a site sends, in grid steps."""
        return int((2 ** (RING_BITS - 1) - 1) // self.sharing.sites)

    @property
    def step(self) -> float:
        """Is the distance of neighbouring values, in the units of the gradient: the finest power of two with room."""
        share = self.noise_multiplier / math.sqrt(self.sharing.least_shares)
        room = self.clip_norm * (_ROOM + 2 * self.expected_batch + _SIGMAS * share)
        return float(2.0 ** math.ceil(math.log2(room / self.limit)))

    @property
    def sigma(self) -> int:
        """Is the standard deviation of one site's noise, in grid steps; 0 without noise."""
        if not self.noise_multiplier:
            return 0
        whole = (self.noise_multiplier * self.clip_norm / self.step) ** 2 + SMOOTHING_VARIANCE
        return math.ceil(math.sqrt(whole / self.sharing.least_shares))
