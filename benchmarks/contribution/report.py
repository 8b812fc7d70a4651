"""Writes the figures as a page of tables and a JSON file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contribution.plan import CASES, EVALUATOR_CASES, FRESH, HOSPITALS, UNEQUAL
from benchmarks.contribution.summary import Found, summarise
from fedvoxel.evaluation.credit.flags import ALIKE
from fedvoxel.records.atomic import write_json, write_text

_NAMES = {
    "leave_one_out": "`leave_one_out`",
    "gtg_shapley": "`gtg_shapley`",
    "shapley": "`shapley` of updates",
    "agreement": "`agreement`",
}
_RECIPE = (
    "All runs use the recipe **hippocampus_small**: the hippocampus job at voxels of 3 mm with a UNet of 8, 16 and 32 "
    f"channels, eight rounds. An evaluator with {EVALUATOR_CASES} cases of its own scores all models and trains "
    "nothing. Every seed draws other patients for every hospital. Wrong labels are labels mirrored from front to back, "
    "as a wrong orientation makes them. One process, one thread; seconds are those of the processor."
)


def write_results(found: Found, out: Path) -> None:
    """Writes contribution.json and contribution.md into `out`."""
    summary = summarise(found)
    write_json(out / "contribution.json", summary)
    write_text(out / "contribution.md", _page(summary))


def _page(summary: Mapping[str, Any]) -> str:
    lines = [
        "# Contributions: bad hospitals found, and ranks beside exact Shapley values",
        "",
        "Made by `scripts/benchmark contribution`; what it measures is explained in "
        "[contribution.md](../contribution.md).",
        "",
        _RECIPE,
        "",
        *_trials(summary),
        *(_ranks(summary) if summary["seeds"] else []),
    ]
    return "\n".join([*lines, ""])


def _trials(summary: Mapping[str, Any]) -> list[str]:
    lines = [
        "## A bad hospital among honest ones",
        "",
        f"{len(HOSPITALS)} hospitals of {CASES} training cases, one of them bad in a way that changes with the seed; "
        f"`leave_one_out` in every round. **Found in {summary['found']} of {summary['planted']}** trials, under its "
        f"right name in {summary['named']}; {summary['honest_flagged']} of {summary['honest']} honest hospitals were "
        "flagged.",
        "",
        "Of two hospitals with the same cases both are named, since nobody can say who copied: that counts as found, "
        "and the one that was copied from does not count as flagged. Thresholds were set on other seeds and on "
        "invented hospitals, but the way to tell copies was chosen after an earlier one had missed two among seeds 1 "
        f"to 9; seeds from {FRESH} on were first run with everything fixed that these trials show. That much harm is "
        "flagged whichever way a hospital goes came later, from the unequal hospitals below, and changed no trial.",
        "",
        *_apart(summary["trials"]),
        "| seed | planted | what was flagged |",
        "| --- | --- | --- |",
    ]
    for trial in summary["trials"]:
        what = trial["kind"] + (f", sends {trial['rider']}" if trial["rider"] else "")
        where = f"{what} at {trial['bad']}" if trial["bad"] else "nobody"
        lines.append(f"| {trial['seed']} | {where} | {_flags(trial)} |")
    return [*lines, ""]


def _flags(said: Mapping[str, Any]) -> str:
    return "; ".join(f"{' and '.join(flag['sites'])}: {flag['kind']}" for flag in said["flags"]) or "nothing"


def _apart(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns how well copies stand out."""
    copies = [trial["copies_apart"] for trial in trials if trial["copies_apart"] is not None]
    honest = [trial["honest_apart"] for trial in trials if trial["honest_apart"] is not None]
    if not copies or not honest:
        return []
    return [
        f"Hospitals with the same cases were {min(copies):.2f} to {max(copies):.2f} times as far apart as the nearest "
        f"third; of the honest pairs, the nearest one of each run {min(honest):.2f} to {max(honest):.2f} times "
        f"(flagged up to {ALIKE}).",
        "",
    ]


def _ranks(summary: Mapping[str, Any]) -> list[str]:
    described = "; ".join(
        f"{site} {cases} cases, {share:.0%} of them with wrong labels" for site, (cases, share) in UNEQUAL.items()
    )
    seeds = ", ".join(str(seed["seed"]) for seed in summary["seeds"])
    lines = [
        "## Ranks beside exact Shapley values",
        "",
        f"Four hospitals that are unequal on purpose, since a rank of equals means nothing: {described}. The exact "
        "value of a hospital is its Shapley value over all 16 subsets, each trained from the start to the end and "
        f"scored on the evaluator's cases. Seeds {seeds}.",
        "",
        "| method | rank correlation with the exact values, mean | by seed | models scored in a run | cost over that "
        "of the exact ones, beside the run | together with the run |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in summary["methods"].items():
        by_seed = " / ".join(f"{seed['methods'][name]['rank_correlation']:.1f}" for seed in summary["seeds"])
        lines.append(
            f"| {_NAMES[name]} | {row['rank_correlation']:.2f} | {by_seed} | {row['models']:.0f} | "
            f"{row['extra_cost']:.1%} | {row['cost_with_run']:.1%} |"
        )
    flagged = [f"- Seed {seed['seed']}: {_flags(seed)}." for seed in summary["seeds"]]
    return [
        *lines,
        "",
        *_values(summary),
        "",
        "What was flagged among these four, two of which have wrong labels:",
        "",
        *flagged,
    ]


def _values(summary: Mapping[str, Any]) -> list[str]:
    lines = [
        "Values by hospital:",
        "",
        "| seed | method | " + " | ".join(UNEQUAL) + " |",
        "| --- | --- |" + " --- |" * 4,
    ]
    for seed in summary["seeds"]:
        lines.append(
            f"| {seed['seed']} | exact | " + " | ".join(f"{seed['exact'][site]:+.3f}" for site in UNEQUAL) + " |"
        )
        for name, row in seed["methods"].items():
            cells = " | ".join(f"{row['values'][site]:+.3f}" for site in UNEQUAL)
            lines.append(f"| | {_NAMES[name]} | {cells} |")
    return lines
