"""Adds the finished runs up: how good each method is, what it is short of pooled training, what each hospital gains.

A case's Dice is the mean over its classes, and over the seeds wherever an interval is given: intervals are about which
patients came, and the seeds stand beside them.
"""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from benchmarks.heterogeneity.plan import LOCAL, POOLED, Run
from benchmarks.parts import Values
from fedvoxel.evaluation.bootstrap import estimate_difference

Found = Mapping[Run, Values]
Dice = dict[str, dict[str, float]]
"""Dice by hospital and case."""

CLOSE = 0.01
"""A method is as good as pooled training where its mean Dice is at most so much below."""


def summarise(found: Found) -> dict[str, Any]:
    """Returns the benchmark's figures as JSON values, by split."""
    splits = dict.fromkeys(run.split for run in found)
    return {split: _split({run: found[run] for run in found if run.split == split}) for split in splits}


def _split(found: Found) -> dict[str, Any]:
    seeds = sorted({run.seed for run in found})
    methods = list(dict.fromkeys(run.method for run in found if run.kind == "strategy"))
    values = {name: [found[run] for run in found if run.method == name] for name in methods}
    said = {
        "seeds": seeds,
        "in_float32": [run.name for run in found if found[run].get("bfloat16") is False],
        "patients": next(iter(values.values()))[0]["patients"],
        "curves": {name: _curve(runs) for name, runs in values.items()},
    }
    if not any(run.kind == "pooled" for run in found):
        return said | {"rows": {name: _scores(runs) | _costs(runs) for name, runs in values.items()}}
    pooled_by = {name: [found[run] for run in found if run.method == name] for name in POOLED}
    best = max(POOLED, key=lambda name: _scores(pooled_by[name])["dice_of_cases"])
    pooled, alone = _mean_dice(pooled_by[best]), _best_alone(found, list(said["patients"]))
    return said | {
        "pooled": {name: _scores(runs) for name, runs in pooled_by.items()},
        "best_pooled": best,
        "alone": {name: _alone_scores(found, name) for name in LOCAL},
        "alone_best": {site: mean(cases.values()) for site, cases in alone.items()},
        "rows": {name: _scores(runs) | _compared(runs, pooled, alone) | _costs(runs) for name, runs in values.items()},
    }


def _scores(runs: Sequence[Values]) -> dict[str, Any]:
    dice = _mean_dice(runs)
    hospitals = {site: mean(cases.values()) for site, cases in dice.items() if cases}
    worst = min(hospitals, key=lambda site: hospitals[site])
    return {
        "dice_of_cases": _of_cases(dice),
        "dice_by_seed": [_of_cases(_mean_dice([run])) for run in runs],
        "dice_of_hospitals": mean(hospitals.values()),
        "hospitals": hospitals,
        "worst": worst,
    }


def _compared(runs: Sequence[Values], pooled: Dice, alone: Dice) -> dict[str, Any]:
    """Compares a method with pooled training over all cases, and with each hospital's better own model."""
    dice = _mean_dice(runs)
    gains = {site: _difference({site: dice[site]}, {site: alone[site]}) for site in dice}
    to_pooled = _difference(dice, pooled)
    return {
        "to_pooled": to_pooled,
        "gains": gains,
        "least_gain": min(gains, key=lambda site: gains[site]["mean"]),
        "close_to_pooled": to_pooled["mean"] >= -CLOSE,
        "nobody_worse_than_alone": all(gain["mean"] >= 0 for gain in gains.values()),
    }


def _costs(runs: Sequence[Values]) -> dict[str, float]:
    # No seconds: runs of one table were made on machines that had other work to do, too.
    return {key: mean(run[key] for run in runs) for key in ("bytes_up", "bytes_down")}


def _curve(runs: Sequence[Values]) -> list[float | None]:
    """Returns the validation Dice after each round, over the seeds."""
    by_round = zip(*(run["curve"] for run in runs), strict=True)
    return [None if None in values else mean(values) for values in by_round]


def _alone_scores(found: Found, length: str) -> dict[str, float]:
    sites = dict.fromkeys(run.site for run in found if run.method == length)
    return {site: _of_cases(_mean_dice(_local(found, length, site))) for site in sites}


def _best_alone(found: Found, sites: Sequence[str]) -> Dice:
    """Returns each hospital's cases under the better of its own two models: better on the tested cases, at that."""
    best: Dice = {}
    for site in sites:
        both = [_mean_dice(_local(found, length, site)) for length in LOCAL]
        best |= max(both, key=_of_cases)
    return best


def _local(found: Found, length: str, site: str) -> list[Values]:
    return [found[run] for run in found if (run.method, run.site) == (length, site)]


def _mean_dice(runs: Sequence[Values]) -> Dice:
    """Returns the mean over classes and runs; a class that neither truth nor prediction has is left out."""
    return {
        site: {case: mean(_class_mean(run["dice"][site][case]) for run in runs) for case in cases}
        for site, cases in runs[0]["dice"].items()
    }


def _class_mean(dice: Mapping[str, float | None]) -> float:
    return mean(value for value in dice.values() if value is not None)


def _of_cases(dice: Dice) -> float:
    return mean(value for cases in dice.values() for value in cases.values())


def _difference(one: Dice, other: Dice) -> dict[str, Any]:
    pairs = [(value, other[site][case]) for site, cases in one.items() for case, value in cases.items()]
    found = estimate_difference([first for first, _ in pairs], [second for _, second in pairs])
    return {"mean": found.mean, "low": found.low, "high": found.high}
