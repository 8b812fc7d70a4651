"""The same work by FedVoxel, stock FLARE and Flower: scripts/benchmark peers [--rounds 3] [--repetitions 3].

The systems take turns, each alone in a network namespace. Every finished measurement is kept, so that a command that
was interrupted goes on where it stopped; a system that fails is reported with its reason and tried again the next time.
Needs Linux namespaces (best as root) and, once, a package index for Flower's environment.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from benchmarks import RESULTS, WORK
from benchmarks.hospitals import Hospitals, keep_home_inside, make_hospitals
from benchmarks.parts import Parts
from benchmarks.peers.alone import why_not
from benchmarks.peers.machines import write_project
from benchmarks.peers.report import write_report
from benchmarks.peers.scoring import Scoring
from benchmarks.peers.summary import Measured
from benchmarks.peers.systems import SYSTEMS, Bench, measure
from fedvoxel.config import read_json
from fedvoxel.errors import FedVoxelError, JobError
from fedvoxel.records.atomic import write_json
from fedvoxel.records.canonical import sha256_of
from fedvoxel.training.process import KEEP_MEMORY

PORT = 30412


def main() -> int:
    """Measures what is missing and writes the report."""
    options = _options()
    reason = why_not()
    if reason:
        raise JobError(reason)
    trial = options.cases is not None
    work = WORK / (f"peers-{options.cases}-cases" if trial else "peers")
    keep_home_inside(work)
    # What a training step costs must not differ, so all systems get what our trainer's process has.
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **KEEP_MEMORY}
    hospitals = make_hospitals(work, options.data, PORT, options.cases, write_project(work, PORT))
    _fix_pseudonyms(hospitals)
    bench = Bench(work, hospitals, options.rounds, Scoring(hospitals.task, hospitals.site_files))
    bench.scoring.write_initial(bench.initial)
    parts = Parts(work / "parts")
    if options.fresh:
        parts.forget()
    measured = _measure(bench, parts, options)
    destination = work if trial else RESULTS
    plan = {"rounds": options.rounds, "sites": len(hospitals.site_files), "model_bytes": bench.model_bytes}
    write_report(measured, plan, destination)
    print(f"written: {destination / 'peers.md'}, peers.json, peers.png")
    return 0


def _fix_pseudonyms(hospitals: Hospitals) -> None:
    """Gives each hospital the same key for pseudonyms in every invocation: the order of its cases depends on it."""
    for site, file in hospitals.site_files.items():
        described = read_json(file, "a site's description")
        write_json(file, described | {"pseudonym_key": sha256_of(site)}, mode=0o600)


def _measure(bench: Bench, parts: Parts, options: argparse.Namespace) -> list[Measured]:
    task = bench.hospitals.task.model_dump(mode="json")
    measured = []
    for repetition in range(options.repetitions):
        for system in options.systems:
            configuration = {"task": task, "rounds": options.rounds, "repetition": repetition, "cases": options.cases}
            name = f"{options.rounds:02d}-rounds-{system}-{repetition}"
            try:
                values = parts.run(name, configuration, partial(measure, bench, system, repetition))
                print(f"repetition {repetition}, {system}: {values['model_s']:.1f} s", flush=True)
                measured.append(Measured(system, repetition, values))
            except FedVoxelError as error:
                print(f"repetition {repetition}, {system}: failed: {error}", flush=True)
                measured.append(Measured(system, repetition, {}, str(error)))
    return measured


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/benchmark peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of training (default 3)")
    parser.add_argument("--repetitions", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="SYSTEM")
    parser.add_argument("--data", type=Path, default=os.environ.get("FEDVOXEL_DATA"), help="default: $FEDVOXEL_DATA")
    parser.add_argument("--cases", type=int, help="at most so many cases per hospital: a trial, not a result")
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder that holds the hippocampus set with --data, or set FEDVOXEL_DATA")
    return options


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FedVoxelError as error:
        sys.exit(f"error: {error}")
