"""Averages scores of single cases over seeds, so that what is paired is a case and not a case with a seed."""

from collections.abc import Sequence
from statistics import mean

from fedvoxel.evaluation.bootstrap import Estimate, estimate_difference
from fedvoxel.evaluation.comparison.trial import SiteCaseScores
from fedvoxel.updates.scores import CaseScore


def mean_cases(seeds: Sequence[SiteCaseScores]) -> dict[str, tuple[CaseScore, ...]]:
    """Returns each case's Dice averaged over seeds, at those hospitals that every seed has.

    A class that a case lacks under one seed is None: neither truth nor prediction held it there.
    """
    if not seeds:
        return {}
    shared = [site for site in seeds[0] if all(site in scores for scores in seeds)]
    return {site: tuple(_mean_case(score.case, seeds, site) for score in seeds[0][site]) for site in shared}


def difference_of(one: SiteCaseScores, other: SiteCaseScores) -> Estimate:
    """Estimates the mean difference of the cases that both have a Dice of, with its 95 % interval."""
    mine, theirs = _class_means(one), _class_means(other)
    shared = sorted(mine.keys() & theirs.keys())
    return estimate_difference([mine[case] for case in shared], [theirs[case] for case in shared])


def mean_of(cases: SiteCaseScores) -> float | None:
    """Returns the mean Dice over all cases; None without one."""
    values = _class_means(cases).values()
    return mean(values) if values else None


def known_mean(values: Sequence[float | None]) -> float | None:
    """Returns the mean of the values that there are; None without one."""
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _mean_case(case: str, seeds: Sequence[SiteCaseScores], site: str) -> CaseScore:
    found = [score for scores in seeds for score in scores[site] if score.case == case]
    dice: dict[str, float | None] = {}
    for name in found[0].dice:
        known = [value for score in found if (value := score.dice.get(name)) is not None]
        dice[name] = mean(known) if len(known) == len(seeds) else None
    return CaseScore(case, dice, {})


def _class_means(cases: SiteCaseScores) -> dict[tuple[str, str], float]:
    means = {(site, one.case): known_mean(list(one.dice.values())) for site in cases for one in cases[site]}
    return {key: value for key, value in means.items() if value is not None}
