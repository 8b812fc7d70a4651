"""Signs of drift: each is a number, and how likely one as large is where nothing has changed.

A population stability index of a few dozen images is large by chance alone, so that the customary limits (0.1, 0.25)
say nothing by themselves: here it is held against what it is when images of both sides are drawn from one pool.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel
from fedvoxel.federation.calibration.plan import Spread
from fedvoxel.federation.calibration.score_counts import ScoreCounts

_CELLS = 5
_DRAWS = 4999
_HALF = 0.5
"""What an empty cell counts as, so that a logarithm exists."""

LEAST_PSI, LEAST_SHIFT = 0.1, 0.5
"""Below, a change is too small to matter, however sure: an index, and standard deviations of a volume's logarithm."""

Of = Literal["images", "unusual", "volume"]


class Sign(FrozenModel):
    """Is one sign of drift.

    Attributes:
        of: What has changed: how far images are from the training cases, how many are unusual, or a structure's volume.
        structure: The structure; empty where it is about images.
        size: The population stability index; the share of unusual images; or by how many standard deviations of the
            training cases the mean logarithm of the volume has moved.
        chance: Probability of one as large or larger where nothing has changed, before it is known how many are asked.
        matters: Whether it is large enough to matter, were it sure.
    """

    of: Of
    structure: str = ""
    size: float
    chance: float
    matters: bool


def sign_of_images(distances: Sequence[float], reference: ScoreCounts, seed: int = 0) -> Sign:
    """Compares how far images in use are from the training cases with how far validation cases were.

    Source: the population stability index is the symmetrised Kullback-Leibler divergence of binned shares; its chance
    is that of a permutation test with the cells' totals given (Good 2005).

    Args:
        distances: Of images in use, at least one.
        reference: Counts of the validation cases'.
        seed: Of the permutations.
    """
    seen = np.bincount(np.searchsorted(np.array(reference.edges), distances), minlength=len(reference.counts))
    cells = _merged(np.array(reference.counts), seen[: len(reference.counts)])
    found = _index(cells[0], cells[1])
    draws = np.random.default_rng(seed).multivariate_hypergeometric(cells.sum(axis=0), int(cells[1].sum()), _DRAWS)
    drawn = np.array([_index(cells.sum(axis=0) - draw, draw) for draw in draws])
    chance = (1 + int(np.sum(drawn >= found - 1e-12))) / (1 + _DRAWS)
    return Sign(of="images", size=found, chance=chance, matters=found > LEAST_PSI)


def sign_of_unusual(unusual: int, images: int, expected: float) -> Sign:
    """Compares how many images are unusual with how many are expected to be.

    Args:
        unusual: How many are.
        images: Of how many.
        expected: The share that is where images are like the validation cases.
    """
    from scipy.stats import binomtest

    chance = float(binomtest(unusual, images, expected, alternative="greater").pvalue)
    return Sign(of="unusual", size=unusual / images, chance=chance, matters=unusual / images > 2 * expected)


def sign_of_volume(name: str, volumes_ml: Sequence[float], usual: Spread, cases: int) -> Sign:
    """Compares a structure's volumes with those of the training cases.

    Args:
        name: The structure.
        volumes_ml: Found in images in use, greater than 0, at least one.
        usual: Of the logarithm over the training cases.
        cases: How many these were.
    """
    logarithms = np.log(np.array(volumes_ml))
    shift = (float(logarithms.mean()) - usual.mean) / usual.deviation
    deviations = abs(shift) / math.sqrt(1 / len(volumes_ml) + 1 / cases)
    chance = 2 * (1 - NormalDist().cdf(deviations))
    return Sign(of="volume", structure=name, size=shift, chance=chance, matters=abs(shift) > LEAST_SHIFT)


def sure_signs(signs: Sequence[Sign], level: float) -> list[Sign]:
    """Returns those that matter and are no chance, with all of them asked at once.

    Source: Holm 1979; the probability of any false one is at most `level`.
    """
    ordered = sorted(signs, key=lambda sign: sign.chance)
    sure = []
    for place, sign in enumerate(ordered):
        if sign.chance > level / (len(ordered) - place):
            break
        sure.append(sign)
    return [sign for sign in signs if sign in sure and sign.matters]


def _merged(reference: NDArray[np.int64], seen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns both sides' counts in a few cells, of which each holds as equal a share of the reference as can be."""
    shares = np.cumsum(reference) / reference.sum()
    place = np.minimum((shares - 1e-9) * _CELLS, _CELLS - 1).astype(np.int64).clip(0)
    cells = np.zeros((2, _CELLS), dtype=np.int64)
    np.add.at(cells[0], place, reference)
    np.add.at(cells[1], place, seen)
    return cells[:, cells.sum(axis=0) > 0]


def _index(reference: NDArray[np.int64], seen: NDArray[np.int64]) -> float:
    first, second = (np.maximum(counts, _HALF) / counts.sum() for counts in (reference, seen))
    return float(np.sum((second - first) * np.log(second / first)))
