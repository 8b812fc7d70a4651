"""What each site's update was worth in a round: leave-one-out, Shapley values, and agreement with the others.

A score function says how good a model is (mean Dice on validation cases); a model of some of the sites is the round's
model plus the mean of their updates, weighted by cases. The whole run's contribution is the sum over its rounds.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError
from fedvoxel.federation.aggregation import FixedPointMean
from fedvoxel.updates.update import Arrays, Update, layout_of

Worth = Callable[[frozenset[str]], float]
"""Says how good the model of some of the sites is; the empty set is the model that the round began with."""

MOST_EXACT_SITES = 10
"""More sites than these have too many subsets to score each."""

MOST_PERMUTATIONS = 200
"""Permutations after which `gtg_shapley` draws no more, for each site that stands first."""


class Scored:
    """Scores each set of sites once, and counts how many were."""

    def __init__(self, worth: Worth) -> None:
        """Starts with nothing scored."""
        self._worth = worth
        self._known: dict[frozenset[str], float] = {}

    def __call__(self, sites: frozenset[str]) -> float:
        """Returns the worth of a set of sites."""
        if sites not in self._known:
            self._known[sites] = self._worth(sites)
        return self._known[sites]

    @property
    def evaluations(self) -> int:
        """Is the number of models that were scored."""
        return len(self._known)


@dataclass(frozen=True)
class Estimate:
    """Is the contribution of each site to one round.

    Attributes:
        values: Contribution by site, in units of the score.
        errors: Standard error of each value over the permutations that were drawn; 0 where nothing was drawn. It says
            nothing of how the score itself varies with the cases, nor of what truncation costs: a set whose score comes
            near the whole's by chance ends a permutation too.
        evaluations: Models that were scored.
    """

    values: dict[str, float]
    errors: dict[str, float]
    evaluations: int


def model_of(model: Arrays, updates: Mapping[str, Update], sites: frozenset[str]) -> dict[str, NDArray[np.float32]]:
    """Returns a round's model with the updates of some of its sites.

    Raises:
        UpdateError: An update does not fit the model.
    """
    if not sites:
        return dict(model)
    total = FixedPointMean(layout_of(model))
    for site in sites:
        total.add(updates[site].arrays, updates[site].case_count)
    mean = total.mean()
    return {name: array + mean[name] for name, array in model.items()}


def most_models(method: str, sites: int) -> int:
    """Returns how many models of one round are scored for a method; with `gtg_shapley`, how many at most.

    Raises:
        ConfigError: There are too many sites for it.
    """
    if method == "agreement":
        return 0
    if method == "leave_one_out":
        return sites + 1
    if method == "shapley":
        check_exact(sites)
        return 1 << sites
    # Nobody and everybody, each site alone, all without it, and what lies between on each permutation: sets of 2 to
    # sites - 2.
    return min(1 << sites, 2 + 2 * sites + MOST_PERMUTATIONS * sites * max(0, sites - 3))


def check_exact(sites: int) -> None:
    """Checks that each subset of so many sites can be scored.

    Raises:
        ConfigError: They are more than `MOST_EXACT_SITES`.
    """
    if sites > MOST_EXACT_SITES:
        raise ConfigError(
            f"contribution.method: shapley scores every subset of a round's sites, of which there are {sites} here, "
            f"expected at most {MOST_EXACT_SITES}; write gtg_shapley"
        )


def leave_one_out(sites: Sequence[str], worth: Worth) -> Estimate:
    """Returns by how much the round is worse without each site: v(N) - v(N without i)."""
    scored, everybody = Scored(worth), frozenset(sites)
    whole = scored(everybody)
    values = {site: whole - scored(everybody - {site}) for site in sites}
    return Estimate(values, dict.fromkeys(sites, 0.0), scored.evaluations)


def shapley(sites: Sequence[str], worth: Worth) -> Estimate:
    """Returns the Shapley values from all subsets.

    Raises:
        ConfigError: There are more than `MOST_EXACT_SITES` sites.

    Source: Shapley, "A Value for n-Person Games", 1953.
    """
    count = len(sites)
    check_exact(count)
    scored, values = Scored(worth), dict.fromkeys(sites, 0.0)
    for size in range(count):
        weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
        for chosen in map(frozenset, combinations(sites, size)):
            for site in set(sites) - chosen:
                values[site] += weight * (scored(chosen | {site}) - scored(chosen))
    return Estimate(values, dict.fromkeys(sites, 0.0), scored.evaluations)


def gtg_shapley(sites: Sequence[str], worth: Worth, random: np.random.Generator, tolerance: float = 0.01) -> Estimate:
    """Returns Shapley values estimated from guided, truncated permutations.

    Args:
        sites: The round's sites.
        worth: Scores a set of them.
        random: Draws the permutations.
        tolerance: A round that changes the score by no more than this gives everybody 0; a permutation ends where the
            rest could change it by no more; drawing ends where the standard errors are no more, or after
            `MOST_PERMUTATIONS`. In units of the score.

    Source: Liu et al., "GTG-Shapley", ACM TIST 2022, Algorithm 1: each site stands first in the same number of
    permutations, and truncation is between rounds and within them. There drawing ends where the estimates have moved
    little over the last ones; here where their standard errors are small.
    """
    scored, everybody = Scored(worth), frozenset(sites)
    whole, nobody = scored(everybody), scored(frozenset())
    if abs(whole - nobody) <= tolerance:
        return Estimate(dict.fromkeys(sites, 0.0), dict.fromkeys(sites, 0.0), scored.evaluations)
    drawn: list[dict[str, float]] = []
    while len(drawn) < MOST_PERMUTATIONS:
        # One permutation with each site first: their mean is one draw.
        marginals = [_walk(site, sites, scored, whole, random, tolerance) for site in sites]
        drawn.append({site: float(np.mean([each[site] for each in marginals])) for site in sites})
        errors = {site: _standard_error([each[site] for each in drawn]) for site in sites}
        if len(drawn) > 2 and max(errors.values()) <= tolerance:
            break
    values = {site: float(np.mean([each[site] for each in drawn])) for site in sites}
    return Estimate(values, errors, scored.evaluations)


def agreement(updates: Mapping[str, Update]) -> dict[str, float]:
    """Returns the cosine of each site's update with the mean of all, which needs no score.

    Source: Xu et al., "Gradient Driven Rewards to Guarantee Fairness in Collaborative Machine Learning" (CGSV), NeurIPS
    2021, equation 3, with the mean weighted by cases; their reward by thinned models is left out on purpose.
    """
    first = next(iter(updates.values()))
    total = FixedPointMean(layout_of(first.arrays))
    for update in updates.values():
        total.add(update.arrays, update.case_count)
    mean = total.mean()
    return {site: cosine(update.arrays, mean) for site, update in updates.items()}


def cosine(one: Arrays, other: Arrays) -> float:
    """Returns the cosine between two sets of named arrays; 0 where one is all zeros."""
    product = _dot(one, other)
    lengths = math.sqrt(_dot(one, one) * _dot(other, other))
    return product / lengths if lengths else 0.0


def _walk(
    first: str, sites: Sequence[str], scored: Scored, whole: float, random: np.random.Generator, tolerance: float
) -> dict[str, float]:
    """Returns each site's marginal worth along one permutation that begins with `first`."""
    rest = [site for site in sites if site != first]
    order = [first, *(rest[index] for index in random.permutation(len(rest)))]
    before, marginals = scored(frozenset()), {}
    for place, site in enumerate(order):
        near = place > 0 and abs(whole - before) <= tolerance
        after = before if near else scored(frozenset(order[: place + 1]))
        marginals[site] = after - before
        before = after
    return marginals


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.inf


def _dot(one: Arrays, other: Arrays) -> float:
    return sum(float(np.vdot(array.astype(np.float64), other[name].astype(np.float64))) for name, array in one.items())
