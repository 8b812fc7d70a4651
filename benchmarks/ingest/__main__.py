"""Compares how a CT series becomes a volume: python -m benchmarks.ingest [--slices 150] [--repeats 9].

FedVoxel, SimpleITK, dicom2nifti and dcm2niix, each in a process of its own, take turns run by run, so that whatever
else the machine does meets all alike; first with the files in the page cache, then without.
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
from benchmarks.ingest.process import serve
from benchmarks.ingest.report import markdown
from benchmarks.ingest.scan import SIDE, forget_pages, write_scan
from benchmarks.overhead.machine import watched
from benchmarks.parts import Values
from fedvoxel.records.atomic import write_json, write_text

SYSTEMS = ("ours", "simpleitk", "dicom2nifti", "dcm2niix")
STATES = ("warm", "cold")


def main() -> int:
    """Measures, prints and writes the report."""
    options = _options()
    taken = watched(lambda: {"answers": _measure(options)})
    rows = rows_of(taken.pop("answers"), options.slices)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    versions = {name: version(name) for name in ("pydicom", "simpleitk", "dicom2nifti", "dcm2niix", "numpy")}
    conditions = {"slices": options.slices, "side": SIDE, "repeats": options.repeats} | taken
    text = markdown(rows, conditions, machine | versions)
    write_json(options.out / "ingest.json", {"rows": rows, "conditions": conditions, "machine": machine | versions})
    write_text(options.out / "ingest.md", text)
    print(text + f"\nwritten: {options.out / 'ingest.md'}, ingest.json")
    return 0


def rows_of(answers: Mapping[tuple[str, str], Sequence[Values]], slices: int) -> list[Values]:
    """Returns a row for each system and state: medians of seconds by stage, and of memory over the float32 volume."""
    volume_mib = slices * SIDE * SIDE * 4 / 2**20
    rows: list[Values] = []
    for (system, state), found in answers.items():
        stages = found[0]["seconds"]
        seconds = {
            stage: [median(one["seconds"][stage][clock] for one in found) for clock in (0, 1)] for stage in stages
        }
        memory = median(one["mib"] for one in found) / volume_mib
        rows.append({"system": system, "state": state, "seconds": seconds, "memory_ratio": memory})
    return rows


def _measure(options: argparse.Namespace) -> dict[tuple[str, str], list[Values]]:
    context = multiprocessing.get_context("spawn")
    folder, small = write_scan(options.slices), write_scan(4)
    answers: dict[tuple[str, str], list[Values]] = {(system, state): [] for state in STATES for system in SYSTEMS}
    with ExitStack() as stack:
        ends: dict[str, Connection] = {}
        for system in SYSTEMS:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, system, folder, small), daemon=True)
            process.start()
            stack.callback(process.join)
            stack.callback(ours.send, None)
            ends[system] = ours
        for state in STATES:
            for repeat in range(1 + options.repeats):  # the first run of each warms up
                for system, end in ends.items():
                    answer = _one_run(end, folder, cold=state == "cold")
                    if repeat:
                        answers[system, state].append(answer)
    return answers


def _one_run(end: Connection, folder: Path, cold: bool) -> Values:
    if cold:
        forget_pages(folder)
    end.send("run")
    answer: dict[str, Any] = end.recv()
    return answer


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--slices", type=int, default=150, help="slices of the series")
    parser.add_argument("--repeats", type=int, default=9, help="runs of each system and state; medians are reported")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the report")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
