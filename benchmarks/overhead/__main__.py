"""Compares wall times: python -m benchmarks.overhead [--rounds 4 --rounds 12] [--repeats 1] [--data DIR].

The three systems take turns, and every finished measurement is kept, so that a command that was interrupted goes on
where it stopped. Run it on a quiet machine, on two cores.
"""

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import RESULTS, WORK
from benchmarks.hospitals import JOB, Hospitals, keep_home_inside, make_hospitals
from benchmarks.overhead.federated import run_federated
from benchmarks.overhead.machine import QUIET, watched
from benchmarks.overhead.pool import run_pool
from benchmarks.overhead.report import Measured, write_report
from benchmarks.overhead.stock import run_stock
from benchmarks.parts import Parts, Values
from fedvoxel.errors import FedVoxelError
from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.training.process import KEEP_MEMORY


def main() -> int:
    """Measures what is missing and writes the report."""
    options = _options()
    work = WORK / ("overhead" if options.cases is None else f"overhead-{options.cases}-cases")
    keep_home_inside(work)
    # What a training step costs must not differ, so all systems get what our trainer's process has.
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", **KEEP_MEMORY}
    hospitals = make_hospitals(work, options.data, options.port, options.cases)
    parts = Parts(work / "parts")
    if options.fresh:
        parts.forget()
    measured = _measure(hospitals, parts, options, work)
    destination = RESULTS if options.cases is None else work
    write_report(measured, destination)
    print(f"written: {destination / 'overhead.md'}, overhead.json, overhead.png")
    return 0


def _measure(hospitals: Hospitals, parts: Parts, options: argparse.Namespace, work: Path) -> list[Measured]:
    job = dict(read_job_folder(JOB).documents)
    measured = []
    for repeat in range(options.repeats):
        for rounds in options.rounds or [4, 12]:
            systems: dict[str, Callable[[], Values]] = {
                "pool": lambda rounds=rounds: run_pool(hospitals, rounds),
                "ours": lambda rounds=rounds: run_federated(hospitals, rounds, work),
                "stock": lambda rounds=rounds: run_stock(hospitals, rounds, work),
            }
            for system, run in systems.items():
                configuration = {"job": job, "rounds": rounds, "repeat": repeat, "cases": options.cases}
                values = parts.run(f"{rounds:02d}-rounds-{system}-{repeat}", configuration, partial(watched, run))
                seconds, others_s = values["seconds"], values["others_cpu_s"]
                print(f"{rounds:3d} rounds, repeat {repeat}, {system:5s}: {seconds:7.1f} s", flush=True)
                if others_s > QUIET * seconds:
                    print(
                        f"    not a quiet machine: other programs used {others_s:.0f} s of processor time", flush=True
                    )
                measured.append(Measured(system, rounds, repeat, values))
    return measured


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, action="append", help="length of a run; repeatable (default 4 and 12)")
    parser.add_argument("--repeats", type=int, default=1, help="how often each is measured; medians are reported")
    parser.add_argument("--data", type=Path, default=os.environ.get("FEDVOXEL_DATA"), help="default: $FEDVOXEL_DATA")
    parser.add_argument("--cases", type=int, help="at most so many cases per hospital: a trial, not a result")
    parser.add_argument("--port", type=int, default=30402, help="port of the benchmark's own server")
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
