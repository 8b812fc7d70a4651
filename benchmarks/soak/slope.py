"""Says whether a quantity stays flat: not that no growth was seen, but that any growth worth the name is ruled out.

A test that merely fails to find a slope passes any noisy or short series. Here it is the other way round: flat is what
cannot have grown by more than an allowance, at the upper end of the slope's 95 % interval, over all the rounds that
were measured. Samples of one process follow each other closely, so the interval is worked out over the medians of
`BLOCKS` stretches of time instead of the samples: as few values as are still worth a regression, nearly independent.

Source: Sen, "Estimates of the regression coefficient based on Kendall's tau", J. Am. Stat. Assoc. 63 (1968).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import theilslopes

BLOCKS = 12
WARM_UP = 0.25
"""The share of the samples at the beginning that is left out: caches fill and arenas grow in the first rounds."""

LEVEL = 0.95


@dataclass(frozen=True)
class Verdict:
    """Is what a series of samples shows.

    Attributes:
        median: Of the samples after the warm-up.
        growth: Slope times the measured stretch: what it grew by.
        most: The same at the upper end of the interval: what it can have grown by.
        allowed: What would still be called flat.
    """

    median: float
    growth: float
    most: float
    allowed: float

    @property
    def flat(self) -> bool:
        """Says whether growth beyond the allowance is ruled out."""
        return self.most <= self.allowed


def verdict(samples: Sequence[float], least: float, share: float) -> Verdict:
    """Judges samples taken at equal distances in time.

    Args:
        samples: The values, in order.
        least: What any series may grow by, in its unit.
        share: The share of its median that it may grow by, where that is more.

    Raises:
        ValueError: There are fewer than two samples for each block after the warm-up.
    """
    steady = np.asarray(samples[int(len(samples) * WARM_UP) :], dtype=float)
    if len(steady) < 2 * BLOCKS:
        raise ValueError(f"expected at least {2 * BLOCKS} samples after the warm-up, got {len(steady)}")
    blocks = np.array_split(steady, BLOCKS)
    middles = np.cumsum([len(block) for block in blocks]) - [len(block) / 2 for block in blocks]
    slope, _, _, upper = theilslopes([np.median(block) for block in blocks], middles, LEVEL)
    median = float(np.median(steady))
    length = len(steady)
    return Verdict(median, float(slope) * length, float(upper) * length, max(least, share * median))
