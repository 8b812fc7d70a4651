"""Measures the server's memory: python -m benchmarks.server_memory [--sites 4 --sites 64] [--rounds 3] [--fresh].

The server, its job process and every site's two FLARE processes are real; only the sites' training is simulated. With
64 sites that is 130 processes and about 16 GB on one machine.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import RESULTS, ROOT, WORK
from benchmarks.hospitals import keep_home_inside
from benchmarks.parts import Parts
from benchmarks.server_memory.layout import parameter_count
from benchmarks.server_memory.measure import measure
from fedvoxel.errors import FedVoxelError
from fedvoxel.records.atomic import write_json, write_text

LIMIT_MB = 400


def main() -> int:
    """Measures what is missing and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server_memory", description=__doc__)
    parser.add_argument("--sites", type=int, action="append", help="how many sites; repeatable (default 4 and 64)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, default=30420, help="port of the benchmark's own server")
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the report")
    options = parser.parse_args()
    work = WORK / "server_memory"
    keep_home_inside(work)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    parts = Parts(work / "parts")
    if options.fresh:
        parts.forget()
    rows = []
    for sites in options.sites or [4, 64]:
        asked = {"sites": sites, "rounds": options.rounds, "parameters": parameter_count()}
        values = parts.run(
            f"{sites:03d}-sites", asked, lambda sites=sites: measure(work, sites, options.rounds, options.port)
        )
        rows.append(asked | values)
        print(f"{sites:3d} sites: {values['peak_mib']:.0f} MiB, rounds {values['round_seconds']} s", flush=True)
    write_json(options.out / "server_memory.json", rows)
    write_text(options.out / "server_memory.md", markdown(rows))
    return 0


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the report's text."""
    lines = ["# Memory of the server's job process", "", "`python -m benchmarks.server_memory`", ""]
    lines += [
        "| sites | parameters | rounds | peak (MB) | under 400 MB | torch loaded | seconds a round |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        megabytes = row["peak_mib"] * 1.048576
        cells = [row["sites"], f"{row['parameters']:,}", row["rounds"], f"{megabytes:.0f}"]
        cells += ["yes" if megabytes < LIMIT_MB else "no", "yes" if row["torch_loaded"] else "no"]
        cells.append(", ".join(f"{seconds:.0f}" for seconds in row["round_seconds"]))
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join([*lines, "", _EXPLANATION])


_EXPLANATION = """Peak resident memory as the kernel counts it (VmHWM) of the process in which `FedAvgController` runs,
over its whole life. Every site is a real FLARE client with a real job process over mutual TLS; its executor answers at
once with random float32 updates, so that all replies arrive together, which is the worst case.
"""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FedVoxelError as error:
        sys.exit(f"error: {error}")
