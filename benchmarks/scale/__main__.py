"""Measures the server's controller by number of sites: python -m benchmarks.scale [--sites 10 --sites 1000] [--fresh].

Controller, aggregation, records and FLARE's communicator are real and run in a process of their own for each row; the
sites are simulated in the same process, and nothing is sent over a network.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import RESULTS, ROOT, WORK
from benchmarks.parts import Parts
from benchmarks.scale.report import markdown
from fedvoxel.errors import FedVoxelError, JobError
from fedvoxel.flare.kit_making import child_environment
from fedvoxel.records.atomic import write_json, write_text

WANTED = {1_200_000: (10, 100, 300, 1000), 5_000_000: (10, 100, 300, 1000)}
"""Numbers of sites by the model's parameters."""
EVERYBODY: dict[str, Any] = {"name": "all"}
SOME: dict[str, Any] = {"name": "oort", "fraction": 0.1}


def main() -> int:
    """Measures what is missing and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--sites", type=int, action="append", help="how many; repeatable (default: see the report)")
    parser.add_argument("--parameters", type=int, action="append", help=f"repeatable (default {tuple(WANTED)})")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the report")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        return _one_row(json.loads(options.row))
    parts = Parts(WORK / "scale" / "parts")
    if options.fresh:
        parts.forget()
    rows = []
    for parameters in options.parameters or list(WANTED):
        sites = options.sites or WANTED[parameters]
        wanted = [(count, EVERYBODY) for count in sites] + [(max(sites), SOME)]
        for count, selection in wanted:
            asked = {"sites": count, "parameters": parameters, "rounds": options.rounds, "selection": selection}
            name = f"{parameters}-{count:05d}-{selection['name']}"
            rows.append(asked | parts.run(name, asked, lambda asked=asked: _measure(asked)))
            print(rows[-1], flush=True)
    write_json(options.out / "scale.json", rows)
    write_text(options.out / "scale.md", markdown(rows))
    return 0


def _measure(asked: dict[str, Any]) -> dict[str, Any]:
    """Has a process of its own run one row, so that its peak of memory is that row's."""
    command = [sys.executable, "-m", "benchmarks.scale", "--row", json.dumps(asked)]
    done = subprocess.run(command, cwd=ROOT, env=child_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise JobError(f"a row could not be measured: {done.stderr.strip().splitlines()[-1:]}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _one_row(asked: dict[str, Any]) -> int:
    # Imported here, so that the process that only writes the report stays out of it.
    from benchmarks.scale.run import run

    print(json.dumps(run(**asked)))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FedVoxelError as error:
        sys.exit(f"error: {error}")
