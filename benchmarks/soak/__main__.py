"""Runs one job for many rounds and says whether anything grows: python -m benchmarks.soak [--sites 8] [--rounds 200].

Needs root, as benchmarks.chaos does, whose machines these are. Eight sites take about 6 GB of memory.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import RESULTS, WORK
from benchmarks.chaos.machines import why_not
from benchmarks.soak.measure import LEVEL_AFTER_S, soak
from benchmarks.soak.slope import BLOCKS, LEVEL, WARM_UP
from fedvoxel.records.atomic import write_json, write_text


def main() -> int:
    """Measures and writes docs/results/soak.*."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--sites", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the report")
    options = parser.parse_args()
    if trouble := why_not():
        sys.exit(f"error: {trouble}")
    work = WORK / "soak"
    work.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=work) as folder:
        found = soak(Path(folder), options.sites, options.rounds, options.every, lambda said: print(said, flush=True))
    write_json(options.out / "soak.json", {"sites": options.sites, "rounds": options.rounds, "rows": found})
    write_text(options.out / "soak.md", page(found, options.sites, options.rounds))
    return 0 if all(row["flat"] for row in found) else 1


def page(found: Sequence[dict[str, Any]], sites: int, rounds: int) -> str:
    """Returns the page's text."""
    grew = [row for row in found if not row["flat"]]
    lines = [
        "# Soak: does anything grow?",
        "",
        f"`scripts/benchmark soak --sites {sites} --rounds {rounds}`: {rounds} rounds of a small job with {sites}",
        "sites, every process real. Flat is what cannot have grown by more than the allowance over the measured",
        f"rounds, at the upper end of the {LEVEL:.0%} interval of the Theil-Sen slope over {BLOCKS} stretches of time,",
        f"without the first {WARM_UP:.0%}. Samples are taken from {LEVEL_AFTER_S:.0f} s on: what processes grow by",
        f"until then is not in the table (docs/faults.md). {len(found) - len(grew)} of {len(found)} series are flat.",
        "",
        "| what | of | median | grew by | can have grown by | allowed | flat |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in [*grew, *(row for row in found if row["flat"])]:
        numbers = " | ".join(f"{row[key]:.1f}" for key in ("median", "growth", "most", "allowed"))
        lines.append(f"| {row['what']} | {row['of']} | {numbers} | {'yes' if row['flat'] else '**no**'} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
