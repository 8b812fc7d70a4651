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

_DRAWS = 4999

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


def sign_of_images(distances: Sequence[float], reference: ScoreCounts, signs: int = 1, seed: int = 0) -> Sign:
    """Asks whether images in use are farther from the training cases than validation patients were.

    Source: Mann and Whitney 1947, one-sided, with ties counted half; its chance is that of a permutation test with the
    cells' totals given.

    Args:
        distances: Of images in use, at least one.
        reference: Counts of the validation patients', in which a score may have been moved up.
        signs: How many signs are asked at once: a chance has to be told that is small among so many.
        seed: Of the permutations.
    """
    before = np.array(reference.counts)
    seen = np.bincount(np.searchsorted(np.array(reference.edges), distances), minlength=len(before))
    total, found = before + seen, _farther(before, seen)
    draws = max(_DRAWS, 200 * signs)
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(total, int(seen.sum()), draws, method="count")
    as_far = sum(_farther(total - draw, draw) >= found - 1e-12 for draw in drawn)
    return Sign(of="images", size=found, chance=(1 + as_far) / (1 + draws), matters=found > LEAST_FARTHER)


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


def _farther(reference: NDArray[np.int64], seen: NDArray[np.int64]) -> float:
    """Returns the probability that one that was seen lies in a higher cell than one of the reference, ties half."""
    below = np.cumsum(reference) - reference
    return float(np.sum(seen * (below + reference / 2))) / float(seen.sum() * reference.sum())
