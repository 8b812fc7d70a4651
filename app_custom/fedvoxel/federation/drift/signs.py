"""Signs of drift: each is a number, and how likely one as large is where nothing has changed.

A population stability index would not do: hospitals count their validation patients in cells of several, in which a
score is moved up and never down (`score_counts`), so that images in use seem to have changed where none has. What holds
all the same is asked: whether images in use are farther away than those, which were moved farther at most.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel
from fedvoxel.federation.calibration.plan import Spread
from fedvoxel.federation.calibration.score_counts import ScoreCounts, least_patients

_DRAWS, _DRAWN_AT_ONCE = 4999, 5000

LEAST_IMAGES = 20
"""With fewer nothing is said: an alarm would be chance, and its absence no comfort."""

LEVEL = 0.01
"""Probability of an alarm where nothing has changed, about, each time that one looks; see docs/drift.md."""

LEAST_FARTHER, LEAST_SHIFT = 0.64, 0.5
"""Below, a change is too small to matter, however sure: the probability that an image in use is farther away than one
of the validation patients (about half a standard deviation), and standard deviations of a volume's logarithm."""

Of = Literal["images", "unusual", "volume"]


class Sign(FrozenModel):
    """Is one sign of drift.

    Attributes:
        of: What has changed: how far images are from the training cases, how many are unusual, or a structure's volume.
        structure: The structure; empty where it is about images.
        size: The probability that an image is farther away than one of the validation patients; the share of unusual
            images; or by how many standard deviations of the training cases the mean logarithm of the volume has moved.
        chance: Probability of one as large or larger where nothing has changed, before it is known how many are asked.
        matters: Whether it is large enough to matter, were it sure.
    """

    of: Of
    structure: str = ""
    size: float
    chance: float
    matters: bool


def sign_of_images(distances: Sequence[float], reference: ScoreCounts, signs: int = 1) -> Sign:
    """Asks whether images in use are farther from the training cases than validation patients were.

    Args:
        distances: Of images in use, at least one.
        reference: Counts of the validation patients', in which a score may have been moved up.
        signs: How many signs are asked at once.
    """
    cells = np.searchsorted(np.array(reference.edges), distances)
    return sign_of_counts(np.bincount(cells, minlength=len(reference.counts)).tolist(), reference, signs)


def sign_of_counts(seen: Sequence[int], reference: ScoreCounts, signs: int = 1, seed: int = 0) -> Sign:
    """Asks the same of images in use that are counted in the reference's cells already.

    Source: Mann and Whitney 1947, one-sided, with ties counted half; its chance is that of a permutation test with the
    cells' totals given, in which the sum of mid-ranks stands for the statistic.

    Args:
        seen: How many images in use each cell holds, at least one together.
        reference: Counts of the validation patients', in which a score may have been moved up.
        signs: How many signs are asked at once: a chance has to be told that is small among so many.
        seed: Of the permutations.
    """
    before, found = np.array(reference.counts), np.array(seen)
    used = np.flatnonzero(before + found)
    before, found = before[used], found[used]
    total = before + found
    ranks = np.cumsum(total) - (total - 1) / 2
    draws, as_far, random = max(_DRAWS, 200 * signs), 0, np.random.default_rng(seed)
    for begun in range(0, draws, _DRAWN_AT_ONCE):
        size = min(_DRAWN_AT_ONCE, draws - begun)
        drawn = random.multivariate_hypergeometric(total, int(found.sum()), size, method="count")
        as_far += int(np.count_nonzero(drawn @ ranks >= found @ ranks - 1e-6))
    farther = _farther(before, found)
    return Sign(of="images", size=farther, chance=(1 + as_far) / (1 + draws), matters=farther > LEAST_FARTHER)


def sign_of_unusual(unusual: int, images: int, patients: int, share: float) -> Sign | None:
    """Compares how many images are unusual with how many would be, were they like the validation patients'.

    The limit of the unusual is a rank among those patients, so that the number beyond it is beta-binomial where all are
    exchangeable (Vovk 2012, section 2).

    Args:
        unusual: How many are.
        images: Of how many.
        patients: The validation patients.
        share: Of these lie within the limit.

    Returns:
        The sign; None with too few patients for such a limit.
    """
    from scipy.stats import betabinom

    if patients < least_patients(share):
        return None
    rank = math.ceil(round((patients + 1) * share, 9))
    chance = float(betabinom.sf(unusual - 1, images, patients + 1 - rank, rank))
    return Sign(of="unusual", size=unusual / images, chance=chance, matters=unusual / images > 2 * (1 - share))


def sign_of_volume(name: str, volumes_ml: Sequence[float], usual: Spread, cases: int) -> Sign:
    """Compares a structure's volumes with those of the training cases.

    Args:
        name: The structure.
        volumes_ml: Found in images in use, greater than 0, at least one.
        usual: Of the logarithm over the training cases.
        cases: How many these were.
    """
    return sign_of_mean(name, float(np.log(np.array(volumes_ml)).mean()), len(volumes_ml), usual, cases)


def sign_of_mean(name: str, mean: float, images: int, usual: Spread, cases: int) -> Sign:
    """Compares the mean logarithm of a structure's volumes with that of the training cases.

    Args:
        name: The structure.
        mean: Of the natural logarithm of its volume in mL.
        images: Over how many images, or fewer, which makes less sure.
        usual: Of the logarithm over the training cases.
        cases: How many these were.
    """
    shift = (mean - usual.mean) / usual.deviation
    deviations = abs(shift) / math.sqrt(1 / images + 1 / cases)
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


def _farther(reference: NDArray[np.int64], seen: NDArray[np.int64]) -> float:
    """Returns the probability that one that was seen lies in a higher cell than one of the reference, ties half."""
    below = np.cumsum(reference) - reference
    return float(np.sum(seen * (below + reference / 2))) / float(seen.sum() * reference.sum())
