"""Lets seeded faults strike real processes: python -m benchmarks.chaos [--seed 1] [--jobs 20] [--faults 100].

Needs root, for network namespaces and disks of their own, and a C compiler for the clocks. What is finished is
kept in work/benchmarks/chaos/ and not done again; the report is written after every job.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import RESULTS, WORK
from benchmarks.chaos.consortium import open_machines
from benchmarks.chaos.machines import why_not
from benchmarks.chaos.plan import plan
from benchmarks.chaos.report import write_report
from benchmarks.chaos.run import Campaign
from benchmarks.chaos.sabotage import GUARDS

SITES = ("hospital-a", "hospital-b", "hospital-c")


def main() -> int:
    """Runs what is left of the plan."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--kinds", nargs="+", default=[], help="only these kinds of faults")
    parser.add_argument("--sabotage", choices=sorted(GUARDS), default="", help="take a guard away and see it missed")
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies all limits, on a busy machine")
    parser.add_argument("--only", type=int, default=None, help="only so many jobs now")
    parser.add_argument("--fresh", action="store_true", help="forget what is finished")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the report")
    options = parser.parse_args()
    if trouble := why_not():
        sys.exit(f"error: {trouble}")
    work = WORK / "chaos"
    work.mkdir(parents=True, exist_ok=True)
    results = work / f"results-{options.seed}-{options.jobs}-{options.faults}.jsonl"
    if options.fresh:
        results.unlink(missing_ok=True)
    planned = plan(options.seed, options.jobs, options.faults, SITES, options.kinds)
    with TemporaryDirectory(dir=work) as folder, open_machines(Path(folder), SITES, options.sabotage) as machines:
        campaign = Campaign(machines, results, lambda said: print(said, flush=True), patience=options.patience)
        campaign.first()
        for faults in planned[: options.only]:
            campaign.job(faults)
            write_report(campaign.lines(), options.seed, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
