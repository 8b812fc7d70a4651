"""Puts the parts of the hippocampus benchmark into one table, one chart and one JSON file. Reads files only."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from fedvoxel.config import read_json
from fedvoxel.evaluation.bootstrap import estimate_difference
from fedvoxel.evaluation.figures import new_figure, picture_of
from fedvoxel.records.atomic import write_bytes, write_json, write_text

Scores = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows with `case` and `dice` by site."""


def summarise_parts(folder: Path, seeds: Sequence[int]) -> dict[str, Any]:
    """Returns the benchmark's figures.

    Args:
        folder: The finished parts.
        seeds: The seeds that all methods were run with.
    """
    methods = sorted({path.name.rsplit("_", 1)[0] for path in folder.glob("pooled_*.json")})
    parts = {(method, seed): _part(folder, f"{method}_{seed}") for method in methods for seed in seeds}
    rows = {method: [_class_means(parts[method, seed]["per_site"]) for seed in seeds] for method in methods}
    rows["federated"] = [_class_means(parts[methods[0], seed]["federated_per_site"]) for seed in seeds]
    classes = list(rows["federated"][0])
    averages = {name: {label: mean(row[label] for row in found) for label in classes} for name, found in rows.items()}
    best = max(methods, key=lambda method: sum(averages[method].values()))
    return {
        "seeds": list(seeds),
        "classes": classes,
        "dice_by_seed": rows,
        "dice": averages,
        "best_pooled": best,
        "gap_to_best_pooled": {
            label: max(averages[method][label] for method in methods) - averages["federated"][label]
            for label in classes
        },
        "hospitals": _hospitals(folder, seeds, {seed: parts[best, seed] for seed in seeds}),
    }


def write_results(summary: Mapping[str, Any], out: Path) -> None:
    """Writes hippocampus.json, .md and .png into `out`."""
    write_json(out / "hippocampus.json", dict(summary))
    write_text(out / "hippocampus.md", _markdown(summary))
    write_bytes(out / "hippocampus.png", _chart(summary))


def _part(folder: Path, name: str) -> dict[str, Any]:
    values: dict[str, Any] = read_json(folder / f"{name}.json", f"the part {name}")["values"]
    return values


def _class_means(scores: Scores) -> dict[str, float]:
    """Returns the mean Dice of each class over all sites' test cases."""
    rows = [row for site in scores.values() for row in site]
    return {label: mean(row["dice"][label] for row in rows) for label in rows[0]["dice"]}


def _hospitals(folder: Path, seeds: Sequence[int], pooled: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Compares the federated with each hospital's own model by case, each averaged over seeds and classes."""
    found = {}
    for site in pooled[seeds[0]]["per_site"]:
        federated = _case_means([pooled[seed]["federated_per_site"][site] for seed in seeds])
        local = _case_means([_part(folder, f"local_{site}_{seed}")["per_site"][site] for seed in seeds])
        together = _case_means([pooled[seed]["per_site"][site] for seed in seeds])
        gain = estimate_difference(list(federated.values()), [local[case] for case in federated])
        found[site] = {
            "cases": len(federated),
            "federated": mean(federated.values()),
            "local": mean(local.values()),
            "pooled": mean(together.values()),
            "gain": gain.mean,
            "gain_low": gain.low,
            "gain_high": gain.high,
        }
    return found


def _case_means(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for rows in seeds:
        for row in rows:
            values.setdefault(row["case"], []).append(mean(row["dice"].values()))
    return {case: mean(found) for case, found in sorted(values.items())}


def _markdown(summary: Mapping[str, Any]) -> str:
    classes = summary["classes"]
    lines = [
        "# Hippocampus: federated, pooled and alone",
        "",
        f"Mean Dice on unseen cases, seeds {', '.join(map(str, summary['seeds']))}. "
        "Made by `python -m benchmarks.hippocampus`; every model has the same network, cases and number of epochs.",
        "",
        "| model | " + " | ".join(classes) + " | by seed |",
        "| --- | " + " | ".join("---" for _ in classes) + " | --- |",
    ]
    for name, dice in sorted(summary["dice"].items(), key=lambda item: -sum(item[1].values())):
        seeds = "; ".join(" / ".join(f"{row[label]:.4f}" for label in classes) for row in summary["dice_by_seed"][name])
        lines.append(f"| {name} | " + " | ".join(f"{dice[label]:.4f}" for label in classes) + f" | {seeds} |")
    gaps = ", ".join(f"{label} {gap:+.4f}" for label, gap in summary["gap_to_best_pooled"].items())
    lines += ["", f"Best pooled minus federated, the best taken for each class: {gaps}.", ""]
    lines += ["| hospital | unseen cases | federated | alone | pooled | gain over alone (95 % interval) |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for site, row in summary["hospitals"].items():
        gain = f"{row['gain']:+.4f} ({row['gain_low']:+.4f} to {row['gain_high']:+.4f})"
        lines.append(
            f"| {site} | {row['cases']} | {row['federated']:.4f} | {row['local']:.4f} | {row['pooled']:.4f} | {gain} |"
        )
    lines += [
        "",
        "The second table averages cases over seeds and classes; intervals: paired percentile bootstrap over cases.",
        "",
    ]
    return "\n".join(lines)


def _chart(summary: Mapping[str, Any]) -> bytes:
    figure = new_figure(7.0, 3.0)
    axes = figure.subplots()
    sites = list(summary["hospitals"])
    for offset, (model, marker) in enumerate((("local", "s"), ("federated", "o"), ("pooled", "^"))):
        values = [summary["hospitals"][site][model] for site in sites]
        axes.plot(values, [index + 0.2 * (offset - 1) for index in range(len(sites))], marker, label=model)
    axes.set_yticks(range(len(sites)), sites)
    axes.set_xlabel("Dice on unseen cases, mean of classes and seeds")
    axes.legend(loc="best")
    return picture_of(figure, "Hippocampus", "Dice of local, federated and pooled models by hospital").png
