"""Writes the page and the figures of the comparison."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.distributed_noise.arms import ARMS, DELTA, EPSILON, SAMPLING, STEPS, Arm, task_of
from benchmarks.distributed_noise.hospitals import PATIENTS, SITES
from benchmarks.parts import Values
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.records.atomic import write_json, write_text

_PROMISES = (
    "The first two lines promise epsilon against everybody outside the hospital. Those with shared noise promise it",
    "only where secure aggregation shows nothing but the sum: with c = 0 against anybody but a hospital, with c = 1",
    "against the server and any one hospital together. The last line promises nothing.",
    "",
    "The rate is that of the Adam which takes the steps: the hospitals' own in the first line, the server's in the",
    "others.",
)
_ONE_RATE = ("No other rate was tried for any line.",)
_MANY_RATES = (
    "Each line has the best of the same rates, chosen by these patients and the first seed, which flatters all alike.",
)
_SUMS = (
    "",
    "A plain sum of whole numbers stands for secure aggregation, which gives exactly that sum. Nobody is missing in",
    "any round, so that with c = d = 1 there is more noise than epsilon asks for, as mostly in a job.",
    "",
)

Found = dict[tuple[str, float, int], Values]
"""What a run found, by arm, learning rate and seed."""


def best_rate(found: Mapping[tuple[str, float, int], Values], arm: Arm, seed: int) -> float:
    """Returns the learning rate at which an arm's run with a seed has the highest Dice."""
    rates = [rate for name, rate, one in found if (name, one) == (arm.name, seed)]
    return max(rates, key=lambda rate: found[arm.name, rate, seed]["dice"])


def summarise(found: Found, seeds: Sequence[int]) -> dict[str, Any]:
    """Returns the figures as JSON values."""
    return {
        "seeds": list(seeds),
        "tested": sum(len(values) for values in next(iter(found.values()))["by_site"].values()),
        "epsilon": EPSILON,
        "delta": DELTA,
        "arms": [_row(found, arm, seeds) for arm in ARMS],
        "cpu_s": sum(values["cpu_s"] for values in found.values()),
    }


def _row(found: Found, arm: Arm, seeds: Sequence[int]) -> dict[str, Any]:
    own = {(rate, seed): values["dice"] for (name, rate, seed), values in found.items() if name == arm.name}
    rate = best_rate(found, arm, seeds[0])
    by_seed = [own[rate, seed] for seed in seeds]
    return {
        "arm": arm.name,
        "words": arm.words,
        "noise": _noise(arm),
        "rate": rate,
        "dice": fmean(by_seed),
        "by_seed": by_seed,
        "by_rate": {f"{one:g}": dice for (one, seed), dice in sorted(own.items()) if seed == seeds[0]},
    }


def write_results(found: Found, seeds: Sequence[int], out: Path) -> None:
    """Writes distributed_noise.json and .md to `out`."""
    summary = summarise(found, seeds)
    write_json(out / "distributed_noise.json", summary)
    write_text(out / "distributed_noise.md", page(summary))
    print(f"written: {out / 'distributed_noise.md'}, distributed_noise.json")


def page(summary: Mapping[str, Any]) -> str:
    """Returns the page: a line for each arm."""
    seeds = ", ".join(str(seed) for seed in summary["seeds"])
    lines = [
        "# What shared noise buys",
        "",
        f"`scripts/benchmark distributed_noise`: {SITES} hospitals with {PATIENTS} patients of the hippocampus set",
        f"each, shared out at random; one network from its seed, at half the resolution; {STEPS} steps, each patient",
        f"in a step with probability {SAMPLING:g}. Where there is noise, epsilon is {EPSILON:g} at delta {DELTA:g}",
        "for each patient of one hospital (add or remove one), over the whole run, by dp-accounting. Dice is the mean",
        f"of both classes on {summary['tested']} patients that nobody trained on; seeds {seeds}.",
        "",
        "| who adds the noise | its deviation on everybody's sum, over C | Dice | by seed | by rate, first seed |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in summary["arms"]:
        by_seed = " / ".join(f"{value:.3f}" for value in row["by_seed"])
        tried = ", ".join(f"{rate}: {dice:.3f}" for rate, dice in row["by_rate"].items())
        lines.append(f"| {row['words']} | {row['noise']:.2f} | {row['dice']:.3f} | {by_seed} | {tried} |")
    rates = _MANY_RATES if any(len(row["by_rate"]) > 1 for row in summary["arms"]) else _ONE_RATE
    return "\n".join([*lines, "", *_PROMISES, *rates, *_SUMS])


def _noise(arm: Arm) -> float:
    """Returns the standard deviation of the noise on the sum over all hospitals, in clip bounds."""
    privacy = task_of(arm, 1, 0.01).privacy
    if not isinstance(privacy, PatientMechanismConfig):
        return 0.0
    noise, sharing = privacy.noise_multiplier or 0.0, privacy.shared_noise
    shares = SITES / sharing.least_shares if sharing else SITES
    return float(noise * shares**0.5)
