"""Patient-level privacy with noise that the sites share: each adds a part of it, and their sum has the whole.

A round is one step (DP-FedSGD). Each of n sites samples its patients, clips each one's gradient to C and puts it on a
grid of whole numbers, sums, and adds discrete Gaussian noise with standard deviation z C / sqrt(n - c - d). Secure
aggregation adds the sites' whole numbers up and shows the sum of at least n - d of them, once a round, and nothing
else. At most c of these know their own noise and take it off; n - c - d shares are left, which together have at least
z C. So every patient has what a site alone would need sqrt(n - c - d) times the noise for.

A share enters one sum that is shown, ever. Two sums of the same shares, of other sites each, differ by single shares:
where a round is summed up anew, every site draws its share anew, and is charged for it.

Sensitivity. Each patient's clipped gradient is rounded towards zero before it is added, which cannot lengthen it, and
sums of whole numbers are exact: one patient moves the sum by at most C / step steps, and rounding adds nothing, however
many parameters there are. (Rounding the sum instead would add up to one step for each parameter.)

What the accountant computes with is one continuous Gaussian, of standard deviation z C. What the released sum has is a
sum of m >= n - c - d discrete Gaussians of parameter s each. Write r(t) = 5 exp(-2 pi^2 t^2), and for two distributions
"within r" where no event's probability differs by more than the factor exp(r). For every centre and t >= 1 the sum of
exp(-(x - centre)^2 / (2 t^2)) over all whole x is t sqrt(2 pi) (1 +- 2.1 exp(-2 pi^2 t^2)), by Poisson's summation.

1. The sum of k shares and one more: completing the square leaves such a sum with t^2 = s^2 k / (k + 1), so that it is
   within r(t) of the discrete Gaussian of variance (k + 1) s^2. All m are within the sum of r(s sqrt(k / (k + 1))) over
   k < m, less than m r(s / sqrt(2)), of the one of variance m s^2. (Kairouz, Liu, Steinke have twice that: tau.)
2. A discrete Gaussian of variance v, moved by a whole number, is within r(4) of this: draw from the continuous Gaussian
   of variance v - 16 about the same centre, then round at random, by the discrete Gaussian of variance 16 about that
   draw (Peikert's convolution). The second is post-processing of the first.

So the release is within q = (m r(s / sqrt(2)) + r(4)) D of post-processing the continuous mechanism with variance
m s^2 - 16 >= (z C / step)^2, for D parameters, and T of them within T q: if that is (epsilon, delta)-private, this is
(epsilon + 2 T q, delta exp(T q))-private. r(4) is below 10^-136, and with s >= 2^10 the other is below 10^-4,000,000:
for 10^9 parameters and 10^6 rounds epsilon grows by less than 10^-120, far less than its last printed digit. No delta
is added.

The arithmetic is exact: gradients are float64 multiples of a power of two, far below 2^53 steps. What else the
mechanism owns - sampling, clip, events - is `PatientMechanism`'s.

Source: Kairouz, Liu, Steinke, "The distributed discrete Gaussian mechanism for federated learning with secure
aggregation", ICML 2021 (without its rotation and its modular clipping); Peikert, "An efficient and parallel Gaussian
sampler for lattices", CRYPTO 2010, theorem 3.1; Bonawitz et al., "Practical secure aggregation for privacy-preserving
machine learning", CCS 2017.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError, TrainingError, UpdateError
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.guarantee import Guarantee
from fedvoxel.privacy.noise import Noise, SecureNoise
from fedvoxel.privacy.patient_mechanism import LARGEST_SUM, PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig

Steps = dict[str, NDArray[np.int64]]
"""Whole numbers of grid steps by parameter name."""


class SharedNoise:
    """Protects each patient of every site by noise of which each site adds a share.

    Attributes:
        patients: Samples, clips and accounts.
        grid: The whole numbers that a site sends.
        steps_taken: Shares made so far: what was charged must pay for at least as many.
    """

    def __init__(self, config: PatientMechanismConfig, noise: Noise | None = None) -> None:
        """Takes the job's section.

        Args:
            config: Everything that decides the guarantee.
            noise: `SecureNoise` unless given; with any other the mechanism makes no claim.

        Raises:
            ConfigError: The section has no `shared_noise`.
        """
        grid = config.share_grid
        if grid is None:
            raise ConfigError("privacy.shared_noise is not there: expected the numbers of sites that share the noise")
        self._noise = noise or SecureNoise()
        self.config, self.grid, self.steps_taken = config, grid, 0
        self.patients = PatientMechanism(config, self._noise)

    def share(self, summed: Mapping[str, NDArray[np.float64]]) -> Steps:
        """Returns what the site gives to secure aggregation, and to nobody else: its sum with its share of the noise.

        Args:
            summed: Sum of the clipped gradients of one sample by parameter name, each of which was rounded towards zero
                to the grid before it was added, in float64; zeros where the sample was empty.

        Returns:
            Grid steps, int64, each at most `grid.limit` in magnitude.

        Raises:
            TrainingError: The sum is not finite, larger than clipped gradients can add up to, or not on the grid.
        """
        steps = {name: self._steps(array) for name, array in summed.items()}
        self.steps_taken += 1
        noise, limit = self._noise_like(steps), self.grid.limit
        return {name: np.clip(array + noise[name], -limit, limit) for name, array in steps.items()}

    def mean(self, total: Mapping[str, NDArray[np.integer]]) -> dict[str, NDArray[np.float32]]:
        """Returns the mean gradient, float32, along whose negative the server steps.

        Args:
            total: What secure aggregation shows: the sum over the sites, in grid steps.

        Raises:
            UpdateError: It is no sum of as many shares as there are sites.
        """
        return {name: self._mean(name, array) for name, array in total.items()}

    def events(self, rounds: int) -> tuple[GaussianEvent, ...]:
        """Returns what `rounds` rounds cost together, a patient of any site."""
        return self.patients.events(rounds)

    def guarantee(self, rounds: int) -> Guarantee | None:
        """Returns what may be claimed of `rounds` rounds and the spare draws; None where there is no guarantee."""
        return self.patients.guarantee(rounds)

    def _steps(self, array: NDArray[np.float64]) -> NDArray[np.int64]:
        largest = LARGEST_SUM * self.config.clip_norm
        exact: NDArray[np.float64] = np.asarray(array, dtype=np.float64) / self.grid.step
        if not (np.abs(exact) * self.grid.step <= largest).all():
            raise TrainingError(
                f"expected a sum of clipped gradients, finite and at most {largest:g}, got something else: "
                "a gradient was summed without its factor"
            )
        whole = exact.astype(np.int64)
        if not np.array_equal(whole, exact):
            raise TrainingError(
                "expected a sum of gradients on the grid, got values between its steps: a patient's gradient was not "
                "rounded before it was added"
            )
        return whole

    def _noise_like(self, steps: Steps) -> Steps:
        """Draws for all parameters at once: a draw for each array of a network takes more than twice as long."""
        if not self.grid.sigma:
            return {name: np.zeros_like(array) for name, array in steps.items()}
        ends = np.cumsum([array.size for array in steps.values()])
        drawn = self._noise.discrete_gaussian((int(ends[-1]) if ends.size else 0,), self.grid.sigma)
        parts = zip(steps.items(), np.split(drawn, ends[:-1]), strict=True)
        return {name: part.reshape(array.shape) for (name, array), part in parts}

    def _mean(self, name: str, total: NDArray[np.integer]) -> NDArray[np.float32]:
        largest = self.grid.limit * self.grid.sharing.sites
        if total.dtype.kind != "i" or (total.size and not -largest <= total.min() <= total.max() <= largest):
            raise UpdateError(f"{name} is no sum of shares: expected whole numbers of at most {largest} in magnitude")
        divisor = self.grid.sharing.sites * self.config.expected_batch
        return (total * (self.grid.step / divisor)).astype(np.float32)
