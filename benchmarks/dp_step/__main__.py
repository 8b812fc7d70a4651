"""Compares one training step with patient-level privacy: python -m benchmarks.dp_step [--steps 9] [--patients 8].

Four ways to take the same step on the same batch, each in a process of its own with one thread: plain, ours, Opacus as
it comes (hooks on every layer), and one patient after the other. They take turns step by step, so that whatever else
the machine does meets all alike.
"""

import argparse
import multiprocessing
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import RESULTS
from benchmarks.dp_step.process import serve
from benchmarks.dp_step.steps import NETWORKS, SIZE
from benchmarks.parts import Values
from fedvoxel.records.atomic import write_json, write_text
from fedvoxel.training.process import KEEP_MEMORY

SYSTEMS = {
    "plain": "plain step, no privacy",
    "ours": "FedVoxel",
    "opacus": "Opacus, defaults",
    "loop": "one patient after the other",
}
TIME_TARGET, MEMORY_TARGET = 1.5, 3.0
_EXPLANATION = """
One step is forward, backward, clip and noise where there are any, and AdamW, on the same batch in memory, without
augmentation. Seconds are medians of processor time; with one thread that is the time on a quiet machine. Memory is the
largest resident memory of the process during its steps less what it had before the first: parameters, gradients,
moments and activations, but not Python, torch and MONAI. FedVoxel holds the gradients of a few patients at a time and
draws exact integer noise from fresh keys; Opacus draws it once, from torch's generator, and a plain step draws
none. Every process has glibc keep freed memory, as our trainer's has.
"""


def main() -> int:
    """Measures, prints and writes the report."""
    options = _options()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **KEEP_MEMORY}
    rows = [row for network in options.network or list(NETWORKS) for row in _measure(network, options)]
    conditions = {"patients": options.patients, "at_once": options.at_once, "steps": options.steps, "size": SIZE}
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    versions = {name: version(name) for name in ("torch", "monai", "opacus", "randomgen")}
    text = markdown(rows, conditions, machine | versions)
    write_json(options.out / "dp_step.json", {"rows": rows, "conditions": conditions, "machine": machine | versions})
    write_text(options.out / "dp_step.md", text)
    print(text + f"\nwritten: {options.out / 'dp_step.md'}, dp_step.json")
    return 0


def markdown(rows: Sequence[Values], conditions: Mapping[str, Any], machine: Mapping[str, Any]) -> str:
    """Returns the report's text."""
    size = " x ".join(map(str, conditions["size"]))
    lines = ["# Time and memory of a step with patient-level privacy", "", "`python -m benchmarks.dp_step`", ""]
    lines += [f"{conditions['patients']} patients of {size} voxels, {conditions['steps']} steps each. FedVoxel"]
    lines += [f"computes {conditions['at_once']} patients at once.", ""]
    lines += ["| network | system | seconds | of plain | MiB | of plain |", "|---" * 6 + "|"]
    lines += [_line(row) for row in rows]
    lines += ["", *(_verdict(row) for row in rows if row["system"] == "ours"), _EXPLANATION]
    lines += ["Machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()) + ".", ""]
    return "\n".join(lines)


def _line(row: Values) -> str:
    name = f"| {row['network']} | {SYSTEMS[row['system']]} |"
    if "failed" in row:
        return f"{name} fails: {row['failed']} | | | |"
    return f"{name} {row['seconds']:.3f} | {row['time_ratio']:.2f} | {row['mib']:.0f} | {row['memory_ratio']:.2f} |"


def _verdict(row: Values) -> str:
    if "failed" in row:
        return f"{row['network']}: FedVoxel fails.\n"
    time_said = "within" if row["time_ratio"] <= TIME_TARGET else "above"
    memory_said = "within" if row["memory_ratio"] <= MEMORY_TARGET else "above"
    return (
        f"{row['network']}: {row['time_ratio']:.2f} of a plain step's time, {time_said} {TIME_TARGET:g}, and "
        f"{row['memory_ratio']:.2f} of its memory, {memory_said} {MEMORY_TARGET:g}.\n"
    )


def _measure(network: str, options: argparse.Namespace) -> list[Values]:
    """Runs the systems side by side, one step of each in turn."""
    context = multiprocessing.get_context("spawn")
    with ExitStack() as stack:
        ends: dict[str, Connection] = {}
        for system in SYSTEMS:
            ours, theirs = context.Pipe()
            task = (theirs, system, network, options.patients, options.at_once)
            process = context.Process(target=serve, args=task, daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(ours.send, None)
            ends[system] = ours
        answers: dict[str, list[Values]] = {system: [] for system in SYSTEMS}
        for _ in range(1 + options.steps):  # the first step warms up
            for system, end in ends.items():
                end.send("step")
                answers[system].append(end.recv())
    return _rows(network, answers)


def _rows(network: str, answers: Mapping[str, Sequence[Values]]) -> list[Values]:
    plain = _summary(answers["plain"])
    rows = []
    for system in SYSTEMS:
        found = _summary(answers[system])
        if "failed" not in found:
            found["time_ratio"] = found["seconds"] / plain["seconds"]
            found["memory_ratio"] = found["mib"] / plain["mib"]
        rows.append({"network": network, "system": system, **found})
    return rows


def _summary(answers: Sequence[Values]) -> Values:
    failed = [answer["failed"] for answer in answers if "failed" in answer]
    if failed:
        return {"failed": failed[0]}
    seconds = {key: median(answer[key] for answer in answers[1:]) for key in ("seconds", "wall_s")}
    return seconds | {"mib": answers[-1]["mib"]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dp_step", description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, action="append", help="repeatable; default: all")
    parser.add_argument("--patients", type=int, default=8, help="patients in a step")
    parser.add_argument("--at-once", type=int, default=4, help="patients whose gradients FedVoxel holds together")
    parser.add_argument("--steps", type=int, default=9, help="steps of each system; medians are reported")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the report")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
