"""A clip bound that follows the hospitals' updates, at a share of the noise that it makes dearer.

After each round the bound moves towards a quantile of the updates' norms. What it learns of them is one noised number:
how many updates were within the bound. A hospital adds +1 or -1 to `within - beyond`, or 0 if it did not answer, so
that the count's sensitivity is 1. Sum and count together are one Gaussian mechanism whose noise multiplier z is what
the section states and what is accounted for, if the sum gets the multiplier z_sum:

    1 / z_sum^2 + 1 / z_count^2 = 1 / z^2

Source: Andrew, Thakkar, McMahan, Ramaswamy, "Differentially private learning with adaptive clipping", NeurIPS 2021,
algorithm 1 and theorem 1. Their sigma_b is z_count / 2, as they halve the count's sensitivity by subtracting one half.
"""

import math

from fedvoxel.privacy.clipping import GRID, ClippedSum
from fedvoxel.privacy.noise import Noise
from fedvoxel.privacy.sections import HospitalMechanismConfig


def next_clip_norm(config: HospitalMechanismConfig, total: ClippedSum, noise: Noise) -> float:
    """Returns the bound of the next round: `clip_norm * exp(-learning_rate * (fraction - quantile))`, within its range.

    Args:
        config: The job's section; without `adaptive_clip` the bound stays as it is.
        total: The round's sum, with its bound and how many of its updates were within it.
        noise: Draws the count's noise; there is none where the section has none.
    """
    adaptive = config.adaptive_clip
    if adaptive is None:
        return total.clip_norm
    centred = (2 * total.within - total.count) * GRID
    if config.noise_multiplier is not None:
        centred += int(noise.discrete_gaussian((), math.ceil(adaptive.count_noise_multiplier * GRID)))
    fraction = 0.5 + centred / (2 * config.sites * GRID)
    # The exponent is bounded so that a rare, large draw is a jump to the end of the range and not an overflow.
    exponent = max(-50.0, min(50.0, -adaptive.learning_rate * (fraction - adaptive.quantile)))
    wanted = total.clip_norm * math.exp(exponent)
    return min(max(wanted, adaptive.least_clip_norm), adaptive.greatest_clip_norm)
