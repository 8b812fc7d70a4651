"""Turns a site's scores of single cases into what may leave the site: counts, means, intervals and medians."""

from collections.abc import Sequence
from statistics import median

from fedvoxel.evaluation.bootstrap import estimate_mean
from fedvoxel.federation.outcome import ClassScore, SiteScore
from fedvoxel.updates.scores import CaseScore


def summarise(scores: Sequence[CaseScore], minimum_cases: int = 1, seed: int = 0) -> SiteScore:
    """Summarises `scores` per class.

    Args:
        scores: One entry per unseen case.
        minimum_cases: Smallest cell: a site, or a class in it, with fewer scored cases sends its count alone.
        seed: Seeds the bootstrap.

    Returns:
        The site's score; classes in the order in which the cases first name them.
    """
    names = dict.fromkeys(name for score in scores for name in score.dice)
    smallest = minimum_cases if len(scores) >= minimum_cases else len(scores) + 1
    return SiteScore(cases=len(scores), classes={name: _of_class(name, scores, smallest, seed) for name in names})


def _of_class(name: str, scores: Sequence[CaseScore], minimum_cases: int, seed: int) -> ClassScore:
    dice: list[float] = []
    distances: list[float] = []
    for score in scores:
        value = score.dice.get(name)
        if value is not None:
            dice.append(value)
            distances.append(_distance_or_infinity(score.hd95_mm.get(name)))
    if len(dice) < max(minimum_cases, 1):
        return ClassScore(cases=len(dice))
    estimate = estimate_mean(dice, seed)
    return ClassScore(
        cases=estimate.cases,
        dice_mean=_within_unit(estimate.mean),
        dice_low=_within_unit(estimate.low),
        dice_high=_within_unit(estimate.high),
        hd95_mm_median=_finite_or_none(median(distances)),
    )


def _distance_or_infinity(value: float | None) -> float:
    # A case that has a Dice but no distance is one where truth or prediction is empty: the structure was missed, or
    # invented. Leaving it out would make a model that misses structures look precise.
    return float("inf") if value is None else value


def _finite_or_none(value: float) -> float | None:
    return None if value == float("inf") else value


def _within_unit(value: float | None) -> float | None:
    # The mean of several 1.0 may come out as 1.0000000000000002.
    return None if value is None else min(max(value, 0.0), 1.0)
