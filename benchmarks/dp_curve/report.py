"""Puts the runs into one table, one curve and one JSON file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.dp_curve.plan import EPSILONS, LEVER_EPSILON, LEVERS, Run, Start
from benchmarks.parts import Values
from fedvoxel.evaluation.bootstrap import estimate_difference
from fedvoxel.evaluation.figures import new_figure, picture_of
from fedvoxel.records.atomic import write_bytes, write_json, write_text


def write_results(starts: Mapping[Start, Values], found: Mapping[Run, Values], out: Path) -> None:
    """Writes dp_curve.json, .md and .png into `out`."""
    summary = summarise(starts, found)
    write_json(out / "dp_curve.json", summary)
    write_text(out / "dp_curve.md", _markdown(summary))
    write_bytes(out / "dp_curve.png", _chart(summary))


def summarise(starts: Mapping[Start, Values], found: Mapping[Run, Values]) -> dict[str, Any]:
    """Returns the benchmark's figures as JSON values."""
    seeds = sorted({run.seed for run in found if not run.lever})
    public = [starts[Start(seed)] for seed in seeds]
    curve = {epsilon: [found[Run(epsilon, "", seed)] for seed in seeds] for epsilon in EPSILONS}
    rows = []
    for epsilon, values in curve.items():
        gain, loss = _difference(values, public), _difference(curve[None], values)
        rows.append({"epsilon": epsilon, "dice": _dice(values), "over_public": gain, "below_no_noise": loss})
    lever_seeds = sorted({run.seed for run in found if run.lever})
    changed = {"nothing: the job as it is": ""} | {lever: lever for lever in LEVERS}
    levers = [
        {"changed": words, "dice": _dice([found[Run(LEVER_EPSILON, lever, seed)] for seed in lever_seeds])}
        for words, lever in changed.items()
        if lever_seeds
    ]
    patients = {site: len(values) for site, values in public[0]["by_site"].items()}
    return {
        "seeds": seeds,
        "lever_seeds": lever_seeds,
        "test_patients": patients,
        "public_alone": _dice(public),
        "curve": rows,
        "levers": levers,
    }


def _dice(values: Sequence[Values]) -> dict[str, Any]:
    by_seed = [one["dice"] for one in values]
    return {"mean": mean(by_seed), "by_seed": by_seed}


def _difference(values: Sequence[Values], others: Sequence[Values]) -> dict[str, float | None]:
    """Returns the mean difference by patient, each averaged over seeds, with its 95 % interval."""
    found = estimate_difference(_by_patient(values), _by_patient(others))
    return {"mean": found.mean, "low": found.low, "high": found.high}


def _by_patient(seeds: Sequence[Values]) -> list[float]:
    rows = [[dice for site in sorted(one["by_site"]) for dice in one["by_site"][site]] for one in seeds]
    return [mean(values) for values in zip(*rows, strict=True)]


def _markdown(summary: Mapping[str, Any]) -> str:
    seeds, tested = ", ".join(map(str, summary["seeds"])), sum(summary["test_patients"].values())
    public = summary["public_alone"]
    lines = [
        "# What patient-level privacy costs on the hippocampus",
        "",
        f"Mean Dice of both classes on {tested} patients that nothing was trained on, seeds {seeds}; made by "
        "`python -m benchmarks.dp_curve`. The job is `jobs/hippocampus_dp_patient`: epsilon is that of all its rounds, "
        "for each patient of one hospital, delta 0.002, add or remove one patient, against everybody outside the "
        "hospital. It begins with the model of `jobs/hippocampus_public`, trained on one public case of each hospital, "
        f"which alone has {public['mean']:.4f} ({_seeds(public)}).",
        "",
        "| epsilon | Dice | by seed | over the public model alone (95 %) | below the run without noise (95 %) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in summary["curve"]:
        epsilon = "none" if row["epsilon"] is None else f"{row['epsilon']:g}"
        lines.append(
            f"| {epsilon} | {row['dice']['mean']:.4f} | {_seeds(row['dice'])} | {_interval(row['over_public'])} | "
            f"{_interval(row['below_no_noise'])} |"
        )
    lines += ["", '"none" is the same run without noise, clipped as the others; it has no guarantee.', ""]
    if summary["levers"]:
        lines += _levers(summary)
    return "\n".join(lines)


def _levers(summary: Mapping[str, Any]) -> list[str]:
    lines = [
        f"What each part of the recipe buys: one thing changed at a time, at epsilon {LEVER_EPSILON:g}, seeds "
        f"{', '.join(map(str, summary['lever_seeds']))}.",
        "",
        "| changed | Dice |",
        "| --- | --- |",
    ]
    lines += [f"| {row['changed']} | {row['dice']['mean']:.4f} |" for row in summary["levers"]]
    return [*lines, ""]


def _seeds(dice: Mapping[str, Any]) -> str:
    return " / ".join(f"{value:.4f}" for value in dice["by_seed"])


def _interval(found: Mapping[str, float | None]) -> str:
    return f"{found['mean']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"


def _chart(summary: Mapping[str, Any]) -> bytes:
    figure = new_figure(6.0, 3.6)
    axes = figure.subplots()
    rows = [row for row in summary["curve"] if row["epsilon"] is not None]
    for index in range(len(summary["seeds"])):
        axes.plot([row["epsilon"] for row in rows], [row["dice"]["by_seed"][index] for row in rows], "o", color="0.7")
    axes.plot([row["epsilon"] for row in rows], [row["dice"]["mean"] for row in rows], "o-", label="with the guarantee")
    (none,) = (row for row in summary["curve"] if row["epsilon"] is None)
    axes.axhline(none["dice"]["mean"], linestyle="--", color="C2", label="the same run without noise")
    axes.axhline(summary["public_alone"]["mean"], linestyle=":", color="C3", label="the public model alone")
    axes.set_xscale("log", base=2)
    axes.set_xticks([row["epsilon"] for row in rows], [f"{row['epsilon']:g}" for row in rows])
    axes.set_xlabel("epsilon for each patient of one hospital, delta 0.002")
    axes.set_ylabel("Dice on unseen patients")
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.93))
    return picture_of(figure, "Dice over epsilon", "Dice on unseen patients against epsilon, with both limits").png
