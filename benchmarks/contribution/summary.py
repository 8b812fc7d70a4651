"""Adds the finished parts up: how well each method ranks hospitals, at what cost, and what each trial found."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.contribution.plan import UNEQUAL, Estimated, Exact, Part, Trial
from benchmarks.parts import Values
from fedvoxel.evaluation.credit.flags import Flag, apartness, flags_of
from fedvoxel.evaluation.credit.rounds import LookedAt
from fedvoxel.federation.contribution import shapley
from fedvoxel.federation.outcome import RoundRecord

Found = Mapping[Part, Values]

ESTIMATES = ("leave_one_out", "gtg_shapley", "shapley", "agreement")
EXPECTED = {"wrong labels": "harmful", "copied cases": "alike", "free rider": "free rider"}
"""The flag that names what is wrong."""


def summarise(found: Found) -> dict[str, Any]:
    """Returns the benchmark's figures as JSON values; seeds that are not finished are left out."""
    trials = [_trial(part, values) for part, values in found.items() if isinstance(part, Trial)]
    seeds = [ranked for seed in _finished_seeds(found) if (ranked := _ranked(found, seed))]
    return {
        "trials": trials,
        "planted": sum(trial["kind"] != "nobody" for trial in trials),
        "found": sum(trial["found"] for trial in trials),
        "named": sum(trial["named"] for trial in trials),
        "honest": sum(trial["honest"] for trial in trials),
        "honest_flagged": sum(len(trial["honest_flagged"]) for trial in trials),
        "seeds": seeds,
        "methods": {name: _over_seeds([seed["methods"][name] for seed in seeds]) for name in ESTIMATES}
        if seeds
        else {},
    }


def rank_correlation(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Returns Spearman's rank correlation of two rankings without ties."""
    names = sorted(one)
    ranks = [np.argsort(np.argsort([values[name] for name in names])) for values in (one, other)]
    count = len(names)
    return float(1 - 6 * ((ranks[0] - ranks[1]) ** 2).sum() / (count * (count**2 - 1)))


def agreement_of(record: RoundRecord) -> dict[str, float]:
    """Returns the cosine of each update with the mean weighted by cases, from the lengths and cosines of a record."""
    seen = record.contribution and record.contribution.resemblance
    if not seen:
        return {}
    names = sorted(seen.norms)
    products = np.diag([seen.norms[name] ** 2 for name in names])
    for i, one in enumerate(names):
        for j, other in enumerate(names[i + 1 :], start=i + 1):
            products[i, j] = products[j, i] = seen.pairs[one][other] * seen.norms[one] * seen.norms[other]
    weights = np.array([record.contributed[name] for name in names], dtype=float)
    along, length = products @ weights, math.sqrt(weights @ products @ weights)
    return {name: float(along[i] / (length * seen.norms[name])) for i, name in enumerate(names)}


def _trial(trial: Trial, values: Values) -> dict[str, Any]:
    run = LookedAt.of(_records(values))
    flags = flags_of(run)
    planted = trial.kind != "nobody"
    # Of two that are alike nobody can say who copied: both being named is right.
    guilty = {trial.bad} if planted else set()
    partner = {trial.copied} if trial.kind == "copied cases" else set()
    return {
        "seed": trial.seed,
        "kind": trial.kind,
        "rider": trial.rider if trial.kind == "free rider" else None,
        "bad": trial.bad if planted else None,
        "found": planted and any(trial.bad in flag.sites for flag in flags),
        "named": planted and any(_names(flag, trial) for flag in flags),
        "honest": len(run.sites) - len(guilty),
        "honest_flagged": sorted({site for flag in flags for site in flag.sites} - guilty - partner),
        "flags": [flag.model_dump(mode="json") for flag in flags],
        "copies_apart": apartness(run, trial.bad, trial.copied, run.sites) if partner else None,
        "honest_apart": _nearest(run, [site for site in run.sites if site not in guilty]),
        "seconds": values["seconds"],
    }


def _nearest(run: LookedAt, honest: Sequence[str]) -> float | None:
    """Returns how far apart the nearest two honest hospitals are, over the nearest third honest one."""
    found = [apartness(run, one, other, honest) for one, other in combinations(honest, 2)]
    return min((known for known in found if known is not None), default=None)


def _names(flag: Flag, trial: Trial) -> bool:
    sites = {trial.bad, trial.copied} if trial.kind == "copied cases" else {trial.bad}
    return flag.kind == EXPECTED[trial.kind] and set(flag.sites) == sites


def _finished_seeds(found: Found) -> list[int]:
    counts: dict[int, int] = {}
    for part in found:
        if isinstance(part, Exact):
            counts[part.seed] = counts.get(part.seed, 0) + 1
    return sorted(seed for seed, count in counts.items() if count == 2 ** len(UNEQUAL))


def _ranked(found: Found, seed: int) -> dict[str, Any] | None:
    runs = {part.method: values for part, values in found.items() if isinstance(part, Estimated) and part.seed == seed}
    if "shapley" not in runs or "gtg_shapley" not in runs:
        return None
    trained = {part: values for part, values in found.items() if isinstance(part, Exact) and part.seed == seed}
    dice = {frozenset(part.sites): values["dice"] for part, values in trained.items()}
    exact = shapley(tuple(UNEQUAL), dice.__getitem__).values
    scoring = fmean(values["scoring_seconds"] for values in trained.values())
    whole = sum(values["seconds"] + values["scoring_seconds"] for values in trained.values())
    full = next(values["seconds"] for part, values in trained.items() if len(part.sites) == len(UNEQUAL))
    methods = {}
    for name, (values, models) in _estimates(runs).items():
        extra = models * scoring
        methods[name] = {
            "values": values,
            "rank_correlation": rank_correlation(exact, values),
            "models": models,
            "extra_cost": extra / whole,
            "cost_with_run": (full + extra) / whole,
        }
    flags = [flag.model_dump(mode="json") for flag in flags_of(LookedAt.of(_records(runs["shapley"])))]
    said = {"seed": seed, "exact": exact, "dice": dice[frozenset(UNEQUAL)], "seconds": whole}
    return said | {"methods": methods, "flags": flags}


def _estimates(runs: Mapping[str, Values]) -> dict[str, tuple[dict[str, float], int]]:
    """Returns by method each hospital's sum over rounds, and the number of models scored for it."""
    records = _records(runs["shapley"])
    looked, gtg = LookedAt.of(records), LookedAt.of(_records(runs["gtg_shapley"]))
    cosines = [agreement_of(record) for record in records]
    return {
        "leave_one_out": ({site: sum(looked.without(site)) for site in UNEQUAL}, len(records) * (len(UNEQUAL) + 1)),
        "gtg_shapley": ({site: sum(gtg.values(site)) for site in UNEQUAL}, runs["gtg_shapley"]["evaluations"]),
        "shapley": ({site: sum(looked.values(site)) for site in UNEQUAL}, runs["shapley"]["evaluations"]),
        "agreement": ({site: fmean(one[site] for one in cosines) for site in UNEQUAL}, 0),
    }


def _records(values: Values) -> list[RoundRecord]:
    return [RoundRecord.model_validate(record) for record in values["records"]]


def _over_seeds(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        key: fmean(row[key] for row in rows) for key in ("rank_correlation", "models", "extra_cost", "cost_with_run")
    }
