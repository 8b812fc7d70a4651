"""Says in sentences what the figures show: nothing here that a figure does not say."""

from collections.abc import Mapping
from typing import Any

from benchmarks.heterogeneity.plan import STRATEGIES
from benchmarks.heterogeneity.summary import CLOSE

Split = Mapping[str, Any]


def findings(summary: Mapping[str, Split]) -> list[str]:
    """Returns the lines of the list of findings, four for each split that has something to compare with."""
    compared = {split: said for split, said in summary.items() if "best_pooled" in said}
    if not compared:
        return []
    lines = ["## In short", ""]
    for split, said in compared.items():
        lines += [f"- **{split}**: {sentence}" for sentence in (_fedavg(said), _best(said), *_hospitals(said))]
    return [*lines, f"- **everywhere**: {_everywhere(compared)}"]


def good_everywhere(compared: Mapping[str, Split]) -> list[str]:
    """Returns the strategies that are close to pooled training and leave no hospital worse than alone, everywhere."""
    return [
        name
        for name in STRATEGIES
        if all(name in said["rows"] and _good(said["rows"][name]) for said in compared.values())
    ]


def _good(row: Mapping[str, Any]) -> bool:
    return bool(row["close_to_pooled"] and row["nobody_worse_than_alone"])


def _fedavg(said: Split) -> str:
    row = said["rows"].get("FedAvg")
    if row is None:
        return "FedAvg was not run."
    difference, site = row["to_pooled"], row["least_gain"]
    gain = row["gains"][site]
    return (
        f"FedAvg has a Dice of {row['dice_of_cases']:.4f}, {difference['mean']:+.4f} ({difference['low']:+.4f} to "
        f"{difference['high']:+.4f}) against the best pooled model; the hospital that gains least over training alone "
        f"is {site} with {gain['mean']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})."
    )


def _best(said: Split) -> str:
    rows = said["rows"]
    best = max(rows, key=lambda name: rows[name]["dice_of_cases"])
    worst = min(rows, key=lambda name: rows[name]["dice_of_cases"])
    far = [name for name, row in rows.items() if not row["close_to_pooled"]]
    return (
        f"the best is {best} ({rows[best]['dice_of_cases']:.4f}), the last {worst} "
        f"({rows[worst]['dice_of_cases']:.4f}); more than {CLOSE} below pooled: {', '.join(far) or 'none'}."
    )


def _hospitals(said: Split) -> tuple[str, str]:
    return (
        f"methods with a hospital that is worse than alone, however little: {_losing(said, 'mean')}.",
        f"methods with a hospital that is worse than alone beyond chance (95 %): {_losing(said, 'high')}.",
    )


def _losing(said: Split, bound: str) -> str:
    """Returns the methods with a hospital whose gain, or its interval's upper end, is below zero."""
    lost = {
        name: [site for site, gain in row["gains"].items() if gain[bound] is not None and gain[bound] < 0]
        for name, row in said["rows"].items()
    }
    return "; ".join(f"{name} ({', '.join(sites)})" for name, sites in lost.items() if sites) or "none"


def _everywhere(compared: Mapping[str, Split]) -> str:
    names = good_everywhere(compared)
    return (
        f"at most {CLOSE} below pooled, and no hospital worse than alone, on every split: "
        f"{', '.join(names) or 'no strategy'}."
    )
