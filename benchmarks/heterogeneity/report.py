"""Writes the figures as one page of tables, one picture and one JSON file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.heterogeneity.findings import findings
from benchmarks.heterogeneity.plan import LEVERS
from benchmarks.heterogeneity.splits import SHARES
from benchmarks.heterogeneity.summary import CLOSE, Found, summarise
from fedvoxel.evaluation.figures import SITE_COLOURS, SITE_MARKERS, new_figure, picture_of
from fedvoxel.records.atomic import write_bytes, write_json, write_text

_SHARES = ", ".join(f"{share:.0%}" for share in SHARES)
TITLES: Mapping[str, str] = {
    "intensity": "Four intensity scales: the hippocampus set by its intensity groups",
    "skewed": f"Unequal patients and sizes: hippocampus shapes by a Dirichlet of 0.3, {_SHARES} of the patients",
    "geometry": "Unequal geometry: five hospitals of the spinal cord set, one to two scans each",
}


def write_results(found: Found, out: Path) -> None:
    """Writes heterogeneity.json, .md and .png into `out`."""
    summary = summarise(found)
    write_json(out / "heterogeneity.json", summary)
    write_text(out / "heterogeneity.md", _page(summary))
    compared = {split: said for split, said in summary.items() if "best_pooled" in said}
    if compared:
        write_bytes(out / "heterogeneity.png", _chart(compared))


def _page(summary: Mapping[str, Any]) -> str:
    lines = [
        "# Unequal hospitals: which algorithm",
        "",
        "Made by `scripts/benchmark heterogeneity` (again without training: `--finished`); what it says is put into "
        "words in [heterogeneity.md](../heterogeneity.md). Every model has the same network, cases and number of "
        "epochs, but where a row says otherwise; scores are mean Dice of cases that no model was trained on.",
        "",
        *findings(summary),
    ]
    for split, said in summary.items():
        lines += ["", f"## {TITLES[split]}", "", *_patients(said)]
        lines += _compared(said) if "best_pooled" in said else _unclaimed(said)
    return "\n".join([*lines, ""])


def _patients(said: Mapping[str, Any]) -> list[str]:
    counts = "; ".join(f"{site} {a} + {b} + {c}" for site, (a, b, c) in said["patients"].items())
    seeds = ", ".join(map(str, said["seeds"]))
    lines = [f"Cases for training + validation + test: {counts}. Seeds {seeds}.", ""]
    if said["in_float32"]:
        lines += [f"Trained in float32, on a CPU without bfloat16: {', '.join(said['in_float32'])}.", ""]
    return lines


def _compared(said: Mapping[str, Any]) -> list[str]:
    best = said["pooled"][said["best_pooled"]]
    lines = [
        "| method | Dice | by seed | mean of hospitals | worst hospital | minus pooled (95 %) | least gain over alone "
        "(95 %) | MB up + down |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        f"| pooled, {said['best_pooled']} | {_scores(best)} | | | |",
    ]
    rows = said["rows"]
    for name in sorted(rows, key=lambda name: (name in LEVERS, -rows[name]["dice_of_cases"])):
        row = rows[name]
        gain = f"{row['least_gain']} {_interval(row['gains'][row['least_gain']])}"
        costs = f"{row['bytes_up'] / 1e6:.1f} + {row['bytes_down'] / 1e6:.1f}"
        lines.append(f"| {name} | {_scores(row)} | {_interval(row['to_pooled'])} | {gain} | {costs} |")
    return [*lines, "", *_other_pooled(said), "", *_hospitals(said)]


def _scores(row: Mapping[str, Any]) -> str:
    seeds = " / ".join(f"{value:.4f}" for value in row["dice_by_seed"])
    worst = f"{row['hospitals'][row['worst']]:.4f} ({row['worst']})"
    return f"{row['dice_of_cases']:.4f} | {seeds} | {row['dice_of_hospitals']:.4f} | {worst}"


def _other_pooled(said: Mapping[str, Any]) -> list[str]:
    pooled = ", ".join(f"{name} {row['dice_of_cases']:.4f}" for name, row in said["pooled"].items())
    return [
        f"Pooled training by optimiser: {pooled}; the best counts. Intervals are paired percentile bootstraps over "
        f"cases, each averaged over seeds and classes. Close to pooled means at most {CLOSE} below it."
    ]


def _hospitals(said: Mapping[str, Any]) -> list[str]:
    """Returns the table of gains; alone, a hospital has the better of two models."""
    sites = list(said["alone_best"])
    lines = [
        "Gain of each hospital over the better of its two own models, trained for as many epochs or for as many steps "
        "(Dice on its own unseen cases):",
        "",
        "| method | " + " | ".join(sites) + " |",
        "| --- |" + " --- |" * len(sites),
    ]
    best = said["pooled"][said["best_pooled"]]["hospitals"]
    lines.append("| pooled: Dice | " + " | ".join(f"{best[site]:.4f}" for site in sites) + " |")
    for length, dice in said["alone"].items():
        lines.append(f"| alone, {length}: Dice | " + " | ".join(f"{dice[site]:.4f}" for site in sites) + " |")
    for name, row in said["rows"].items():
        lines.append(f"| {name} | " + " | ".join(_interval(row["gains"][site]) for site in sites) + " |")
    return lines


def _unclaimed(said: Mapping[str, Any]) -> list[str]:
    lines = [
        "Far too few scans for any claim of quality; the table shows that every method runs here.",
        "",
        "| method | Dice where nobody trained | MB up + down |",
        "| --- | --- | --- |",
    ]
    for name, row in said["rows"].items():
        costs = f"{row['bytes_up'] / 1e6:.1f} + {row['bytes_down'] / 1e6:.1f}"
        lines.append(f"| {name} | {row['dice_of_cases']:.3f} | {costs} |")
    return lines


def _interval(found: Mapping[str, float]) -> str:
    if found["low"] is None:
        return f"{found['mean']:+.4f}"
    return f"{found['mean']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})"


def _chart(summary: Mapping[str, Any]) -> bytes:
    methods = list(dict.fromkeys(name for said in summary.values() for name in said["rows"]))
    figure = new_figure(10.0, 1.6 + 0.3 * len(methods))
    panels = figure.subplots(1, 2 * len(summary), sharey=True, squeeze=False)[0]
    for index, (split, said) in enumerate(summary.items()):
        _pooled_panel(panels[2 * index], split, said, methods)
        _gains_panel(panels[2 * index + 1], split, said, methods)
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=max(1, len(labels)), frameon=False)
    alt = "For each split and method: Dice minus pooled training's, and each hospital's gain over training alone."
    return picture_of(figure, "Unequal hospitals", alt).png


def _pooled_panel(axes: Any, split: str, said: Mapping[str, Any], methods: Sequence[str]) -> None:
    for place, name in enumerate(methods):
        found = said["rows"].get(name, {}).get("to_pooled")
        if found:
            axes.errorbar(
                found["mean"], place, xerr=[[found["mean"] - found["low"]], [found["high"] - found["mean"]]], fmt="ko"
            )
    axes.axvline(-CLOSE, color="grey", linestyle="dotted")
    _frame(axes, f"{split}:\nDice minus pooled")


def _gains_panel(axes: Any, split: str, said: Mapping[str, Any], methods: Sequence[str]) -> None:
    for index, site in enumerate(said["alone_best"]):
        places = [place for place, name in enumerate(methods) if name in said["rows"]]
        gains = [said["rows"][methods[place]]["gains"][site]["mean"] for place in places]
        style = {"color": SITE_COLOURS[index % 6], "marker": SITE_MARKERS[index % 6]}
        axes.plot(gains, places, linestyle="", label=site, **style)
    _frame(axes, f"{split}:\ngain over alone")


def _frame(axes: Any, title: str) -> None:
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_title(title, fontsize=10)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.tick_params(axis="x", labelrotation=60)
