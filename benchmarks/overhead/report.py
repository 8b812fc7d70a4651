"""Turns the measured times into a table, a JSON file and a chart."""

import os
import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.parts import Values
from fedvoxel.records.atomic import write_json, write_text

SYSTEMS = {"pool": "plain two-process pool", "ours": "FedVoxel", "stock": "stock FLARE (FedAvgRecipe, simulator)"}
TARGET = 1.12

_EXPLANATION = """
What is timed, with the same `Trainer`, cases, one thread per process and two cores, taking turns:

- **plain two-process pool**: from before the two processes are started until the last model is scored.
- **FedVoxel**: from `submit_job` until `outcome.json` lies on the server's disk with every score in it; and until FLARE
  tells the submitter that the job is finished, which it does some seconds later. Server and hospitals are processes of
  their own, connected by mutual TLS; they are up and registered before.
- **stock FLARE**: `recipe.execute` of `FedAvgRecipe` with the Client API in FLARE's simulator, four clients; no
  certificates, no scheduler.

All three import, read and prepare the scans, train one epoch per hospital and round, validate every model received from
the second round on, and at the end score the validation and test cases (Dice and HD95). "without start" divides by the
pool's time from the moment its processes have their cases ready: training and evaluation alone. "processor s" is the
processor time of a system and all its processes (for FedVoxel with the consortium's own start, which is not timed).
The pool's two processes have the hospitals dealt out as evenly as whole hospitals can be, while four trainers share the
two cores without a rest: part of what messages and certificates cost comes back so. FedVoxel's trainer process leaves
out what MONAI imports and training never calls, and collects no garbage while it starts; the two others import all.
"""


@dataclass(frozen=True)
class Measured:
    """Is one run of one system."""

    system: str
    rounds: int
    repeat: int
    values: Values


def summarise(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Returns one row per length: median seconds and their ratios to the pool's."""
    by_length: dict[int, dict[str, list[Values]]] = defaultdict(lambda: defaultdict(list))
    for one in measured:
        by_length[one.rounds][one.system].append(one.values)
    return [_row(rounds, systems) for rounds, systems in sorted(by_length.items())]


def _row(rounds: int, systems: Mapping[str, list[Values]]) -> dict[str, Any]:
    seconds = {system: median(one["seconds"] for one in values) for system, values in systems.items()}
    outcome_s = median(one["outcome_s"] for one in systems["ours"])
    work_s = median(one["seconds"] - one["ready_s"] for one in systems["pool"])
    row: dict[str, Any] = {"rounds": rounds, "repeats": len(systems["pool"])}
    row |= {f"{system}_s": value for system, value in seconds.items()}
    row |= {"ours_outcome_s": outcome_s, "pool_without_start_s": work_s}
    row |= {f"{system}_ratio": seconds[system] / seconds["pool"] for system in ("ours", "stock")}
    row |= {f"{system}_ratio_without_start": seconds[system] / work_s for system in ("ours", "stock")}
    row |= {f"{system}_cpu_s": median(one["cpu_s"] for one in values) for system, values in systems.items()}
    row["others_cpu_s"] = max(one["others_cpu_s"] for values in systems.values() for one in values)
    row["ours_outcome_ratio"] = outcome_s / seconds["pool"]
    stages = [one["stages"] for one in systems["ours"]]
    row["ours_stages_s"] = {stage: median(one[stage] for one in stages) for stage in stages[0]}
    return row


def write_report(measured: Sequence[Measured], folder: Path) -> None:
    """Writes overhead.json, overhead.md and overhead.png to `folder`."""
    rows = summarise(measured)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    versions = {name: version(name) for name in ("nvflare", "torch", "monai", "numpy")}
    runs = [asdict(one) for one in measured]
    write_json(folder / "overhead.json", {"rows": rows, "machine": machine | versions, "runs": runs})
    write_text(folder / "overhead.md", markdown(rows, machine | versions))
    _draw(rows, folder / "overhead.png")


def markdown(rows: Sequence[Mapping[str, Any]], machine: Mapping[str, Any]) -> str:
    """Returns the report's text."""
    lines = ["# Wall time of a federated job", "", "`python -m benchmarks.overhead`", ""]
    lines += [
        "| rounds | system | seconds | over the pool | over the pool without start | processor s |",
        "|---" * 6 + "|",
    ]
    for row in rows:
        lines += _table_lines(row)
    lines += ["", "![times](overhead.png)", "", *(_verdict(row) for row in rows), _EXPLANATION]
    lines += [
        "Where FedVoxel's seconds go (medians):",
        "",
        "| stage | " + " | ".join(f"{row['rounds']} rounds" for row in rows) + " |",
    ]
    lines += ["|---" * (len(rows) + 1) + "|"]
    for stage in rows[0]["ours_stages_s"]:
        lines.append(f"| {stage} | " + " | ".join(f"{row['ours_stages_s'][stage]:.1f}" for row in rows) + " |")
    lines += ["", "Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".", ""]
    return "\n".join(lines)


def _table_lines(row: Mapping[str, Any]) -> list[str]:
    lines = [f"| {row['rounds']} | {SYSTEMS['pool']} | {row['pool_s']:.1f} | 1 | | {row['pool_cpu_s']:.0f} |"]
    outcome = f"{row['ours_outcome_s']:.1f} | {row['ours_outcome_ratio']:.3f}"
    lines.append(f"| {row['rounds']} | FedVoxel, until the outcome | {outcome} | | |")
    for system, name in (("ours", "FedVoxel, until FLARE says finished"), ("stock", SYSTEMS["stock"])):
        ratios = f"{row[f'{system}_ratio']:.3f} | {row[f'{system}_ratio_without_start']:.3f}"
        times = f"{row[f'{system}_s']:.1f} | {ratios} | {row[f'{system}_cpu_s']:.0f}"
        lines.append(f"| {row['rounds']} | {name} | {times} |")
    return lines


def _verdict(row: Mapping[str, Any]) -> str:
    beats = "both below" if row["ours_ratio"] < row["stock_ratio"] else "not both below"
    reaches = "within" if row["ours_outcome_ratio"] <= TARGET else "above"
    return (
        f"{row['rounds']} rounds: {row['ours_outcome_ratio']:.3f} of the pool's time until the outcome, {reaches} "
        f"{TARGET}, and {row['ours_ratio']:.3f} until FLARE says finished, {beats} stock FLARE's "
        f"{row['stock_ratio']:.3f} (medians of {row['repeats']}; other programs used at most "
        f"{row['others_cpu_s']:.0f} s of processor time during a run).\n"
    )


def _draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3), layout="constrained")
    for offset, (system, colour) in enumerate(zip(SYSTEMS, ("#9aa5b1", "#1f77b4", "#d95f02"), strict=True)):
        places = [index + (offset - 1) * 0.27 for index in range(len(rows))]
        measure = "ours_outcome" if system == "ours" else system
        seconds = [row[f"{measure}_s"] for row in rows]
        bars = axes.bar(places, seconds, 0.25, label=SYSTEMS[system], color=colour)
        axes.bar_label(bars, [f"{value / row['pool_s']:.2f}" for value, row in zip(seconds, rows, strict=True)])
    axes.set_xticks(range(len(rows)), [f"{row['rounds']} rounds" for row in rows])
    axes.set_ylabel("seconds until the outcome\n(label: over the pool)")
    axes.legend(fontsize=8, loc="upper left")
    figure.savefig(path, dpi=100, metadata={"Software": ""})
    pyplot.close(figure)
