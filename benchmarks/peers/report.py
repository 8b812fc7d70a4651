"""Turns the measurements into a page, a JSON file and a picture."""

import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.overhead.machine import QUIET
from benchmarks.peers.findings import Rows, finding
from benchmarks.peers.flower_kit import PINS
from benchmarks.peers.summary import OURS, Measured, summarise
from benchmarks.peers.systems import SYSTEMS
from fedvoxel.records.atomic import write_json, write_text

_EXPLANATION = """
Everybody does the same: four hospitals with the same cases, split, network, optimiser, seed and first model; each round
a hospital validates the model that it received, from the second round on, and trains one epoch; at the end it scores
its validation and test cases. All call FedVoxel's `Trainer`, one thread per process. Only the framework differs.

- **FedVoxel**: a consortium with mutual TLS. **compressed FedVoxel**: the same with `rounds.compression`, stepped 1,
  3 levels, both ways. What FedVoxel does besides, and the others do not: it scores the last common model at every
  hospital, in messages of its own that carry the whole model, writes its audit, and checks what comes in. While a site
  waits for work it asks for some five times a second, so that part of its bytes grows with the time that a run takes.
- **deployed stock FLARE**: `FedAvgRecipe` with the Client API on FLARE's own kits with mutual TLS, started and
  submitted as ours. **stock FLARE's simulator**: the same recipe in FLARE's simulator, which starts within the time.
- **Flower's deployment engine**: a SuperLink, four SuperNodes, TLS, and a key for each SuperNode. Flower starts a
  process for every message to a hospital, so that each round imports, reads and prepares the cases again, and the
  optimiser's moments, which the job keeps from round to round, go through a file. **Flower's simulation engine**: Ray,
  one processor per client, no security. The strategy is Flower's FedAvg; its own rounds of evaluation are off, since
  hospitals validate within training.

What was measured:

- **seconds until the last model**: from the submission until the file of the last model is there, with every hospital's
  scores made. Servers and hospitals are up and connected beforehand; a simulator's start is part of its time (Flower's
  SuperLink is up). **until it says so**: until the submitter is told that the run has finished.
- **MB on the lines**: each hospital is a machine of its own (a network namespace), with one line to the server; both
  directions, with all headers, from submission until the end. A simulator has no lines. **inside**: what crossed the
  loopback device of the server's machine, or of the simulator's only machine, in the same time.
- **peak memory**: the largest sum of the proportional set sizes of all processes, submitter included, sampled twice a
  second. All machines together, as they share this one.
- **Dice**: mean over unseen cases of all hospitals and over classes, of the last common model, computed after the run
  by the same code for all.
- **against FedVoxel**: the median of the ratios within one repetition.
"""


def write_report(measured: Sequence[Measured], plan: Mapping[str, Any], folder: Path) -> None:
    """Writes peers.json, peers.md and peers.png to `folder`.

    Args:
        measured: All runs.
        plan: `rounds`, `sites`, and `model_bytes`, the weight of the model's arrays.
        folder: Where to.
    """
    rows = summarise(measured)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    machine |= {name: version(name) for name in ("nvflare", "torch", "monai")} | _flower_versions()
    runs = [asdict(one) for one in measured]
    write_json(folder / "peers.json", {"plan": dict(plan), "rows": rows, "machine": machine, "runs": runs})
    write_text(folder / "peers.md", markdown(measured, plan, machine))
    _draw(rows, folder / "peers.png")


def markdown(measured: Sequence[Measured], plan: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """Returns the page."""
    rows = summarise(measured)
    exchanged = 2 * plan["rounds"] * plan["sites"] * plan["model_bytes"]
    lines = ["# The same work on FedVoxel, stock FLARE and Flower", "", "`scripts/benchmark peers`", ""]
    lines += [f"{plan['rounds']} rounds of the hippocampus job with {plan['sites']} hospitals. {finding(rows)}", ""]
    lines += [_quietness(measured), "", *_table(rows), ""]
    lines += [f"- {SYSTEMS[name]} failed: {reason}" for name, row in rows.items() for reason in row["failed"]]
    lines += ["![times, bytes and memory](peers.png)", ""]
    lines += [f"The model's arrays, down and up in every round with every hospital, weigh {exchanged / 1e6:.1f} MB."]
    lines += [_EXPLANATION, "Each run, and how busy the machine was:", "", *_runs(measured), ""]
    return "\n".join([*lines, "Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".", ""])


def _table(rows: Rows) -> list[str]:
    lines = [
        "| system | runs | s until the last model | against FedVoxel | s until it says so | MB on the lines | inside "
        "| against FedVoxel (lines) | peak memory, GB | against FedVoxel | processor s | Dice |",
        "|---" * 12 + "|",
    ]
    for system, row in rows.items():
        if not row["runs"]:
            lines.append(f"| {SYSTEMS[system]} | 0 |" + " |" * 10)
            continue
        ratio = {figure: "" if value is None else f"{value:.2f}" for figure, value in row["ratios"].items()}
        on_lines = f"{row['line_bytes'] / 1e6:.1f}" if row["line_bytes"] else "none"
        cells = [SYSTEMS[system], row["runs"], f"{row['model_s']:.1f}", ratio["model_s"], f"{row['finished_s']:.1f}"]
        cells += [on_lines, f"{row['inner_bytes'] / 1e6:.1f}", ratio["line_bytes"] if row["line_bytes"] else ""]
        cells += [f"{row['peak_bytes'] / 1e9:.2f}", ratio["peak_bytes"], f"{row['cpu_s']:.0f}", f"{row['dice']:.4f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def _runs(measured: Sequence[Measured]) -> list[str]:
    lines = ["| repetition | system | s until the last model | load before | processor s of other programs |"]
    lines.append("|---" * 5 + "|")
    for one in measured:
        if not one.failed:
            values = one.values
            cells = f"{values['model_s']:.1f} | {values['load_before']:.1f} | {values['others_cpu_s']:.0f}"
            lines.append(f"| {one.repetition} | {SYSTEMS[one.system]} | {cells} |")
    return lines


def _quietness(measured: Sequence[Measured]) -> str:
    """Says whether wall times mean something, from what other programs used meanwhile."""
    shares = [one.values["others_cpu_s"] / one.values["finished_s"] for one in measured if not one.failed]
    if not shares:
        return "Nothing ran."
    if max(shares) <= QUIET:
        return "The machine was quiet during all runs."
    return (
        f"**The machine was not quiet**: other programs used up to {max(shares):.1f} of its {os.cpu_count()} cores "
        "during a run. Wall times and processor times, and less so their ratios, are to be taken with that. Memory and "
        "Dice depend on it little; so do bytes, but for those that grow with time."
    )


def _flower_versions() -> dict[str, str]:
    return dict(re.findall(r"^(flwr|ray)==(\S+)$", PINS.read_text(encoding="utf-8"), flags=re.MULTILINE))


def _draw(rows: Rows, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = {system: row for system, row in rows.items() if row["runs"]}
    names = [SYSTEMS[system] for system in shown]
    colours = ["#1f77b4" if system in (OURS, "compressed") else "#9aa5b1" for system in shown]
    figure, panels = pyplot.subplots(1, 3, figsize=(10, 2.6), layout="constrained", sharey=True)
    measures = (("model_s", 1.0, "s until the last model"), ("line_bytes", 1e6, "MB on the lines"))
    for axes, (measure, unit, title) in zip(panels, (*measures, ("peak_bytes", 1e9, "GB at the peak")), strict=True):
        bars = axes.barh(names, [row[measure] / unit for row in shown.values()], color=colours)
        axes.bar_label(bars, fmt="%.3g", fontsize=8)
        axes.set_title(title, fontsize=9)
        axes.margins(x=0.15)
    panels[0].invert_yaxis()
    figure.savefig(path, dpi=100, metadata={"Software": ""})
    pyplot.close(figure)
