"""Lets seeded faults strike real processes: python -m benchmarks.chaos [--seed 1] [--jobs 20] [--faults 120].

Needs root, for network namespaces and disks of their own, and a C compiler for the clocks. After the plan's jobs come
jobs whose processes lack one guard each, which have to be seen. What is finished is kept in work/benchmarks/chaos/ and
not done again; the report is written after every job.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import RESULTS, WORK
from benchmarks.chaos.consortium import open_machines
from benchmarks.chaos.machines import why_not
from benchmarks.chaos.plan import Fault, plan
from benchmarks.chaos.recovery import late
from benchmarks.chaos.report import what_is_seen, write_report
from benchmarks.chaos.results import append, lines_of, unfinished
from benchmarks.chaos.run import Campaign
from benchmarks.chaos.sabotage import GUARDS

SITES = ("hospital-a", "hospital-b", "hospital-c")
_WORK = WORK / "chaos"
SHORT_ROUNDS = 60
"""Rounds of a job with a single fault."""


def main() -> int:
    """Runs what is left of the plan and of the guards."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--faults", type=int, default=120)
    parser.add_argument("--kinds", nargs="+", default=[], help="only these kinds of faults")
    parser.add_argument("--without", nargs="*", choices=list(GUARDS), default=list(GUARDS), help="only these guards")
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies all limits, on a busy machine")
    parser.add_argument("--only", type=int, default=None, help="only so many jobs of the plan now")
    parser.add_argument("--fresh", action="store_true", help="forget what is finished")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the report")
    options = parser.parse_args()
    if trouble := why_not():
        sys.exit(f"error: {trouble}")
    _WORK.mkdir(parents=True, exist_ok=True)
    for path in _WORK.glob("*.jsonl") if options.fresh else ():
        path.unlink()
    planned = plan(options.seed, options.jobs, options.faults, SITES, options.kinds)[: options.only]
    _run_plan(planned, options)
    for guard in options.without:
        _run_without(guard, options)
    return _verdict(options)


def _run_plan(planned: Sequence[Sequence[Fault]], options: argparse.Namespace) -> None:
    if not unfinished([fault for faults in planned for fault in faults], _results(options)):
        return
    with TemporaryDirectory(dir=_WORK) as folder, open_machines(Path(folder), SITES) as machines:
        campaign = Campaign(machines, _results(options), _say, patience=options.patience)
        without = campaign.first()
        if without["violations"] or without["needed_person"]:
            sys.exit(f"error: nothing can be held against the run without faults: {'; '.join(what_is_seen([without]))}")
        for faults in planned:
            campaign.job(faults)
            _report(options)


def _run_without(guard: str, options: argparse.Namespace) -> None:
    """Runs a job without a fault and one with the guard's, on machines whose processes lack the guard."""
    fault, results = GUARDS[guard].fault, _results_without(guard)
    if lines_of(results) and not unfinished([fault], results):
        return
    _say(f"without the {guard}:")
    with TemporaryDirectory(dir=_WORK) as folder, open_machines(Path(folder), SITES, guard) as machines:
        campaign = Campaign(machines, results, _say, rounds=SHORT_ROUNDS, patience=options.patience)
        append(results, campaign.first())
        campaign.job([fault])
    _report(options)


def _verdict(options: argparse.Namespace) -> int:
    """Says whether nothing was broken by a fault, and every guard was missed."""
    lines = lines_of(_results(options))
    broken = [line for line in lines if line["violations"] or line["needed_person"]]
    slow = late([line for line in lines if "kind" in line]) if options.patience == 1 else []
    for line in slow:
        _say(f"the next round began too late, after {line['next_round_s']} s: {line['name']}")
    unseen = [guard for guard in options.without if not what_is_seen(lines_of(_results_without(guard)))]
    for guard in unseen:
        _say(f"without the {guard} nothing was seen")
    return 1 if broken or slow or unseen else 0


def _report(options: argparse.Namespace) -> None:
    guards = {guard: lines for guard in GUARDS if (lines := lines_of(_results_without(guard)))}
    write_report(lines_of(_results(options)), options.seed, options.out, guards)


def _results(options: argparse.Namespace) -> Path:
    kinds = "".join(f"-{kind}" for kind in options.kinds)
    return _WORK / f"results-{options.seed}-{options.jobs}-{options.faults}{kinds}.jsonl"


def _results_without(guard: str) -> Path:
    return _WORK / f"without-{guard}.jsonl"


def _say(said: str) -> None:
    print(said, flush=True)


def ended() -> int:
    """Returns `main`'s exit code, or one of its own where an error has cut it off: then it is gone on with."""
    try:
        return main()
    except Exception:
        traceback.print_exc()
        return os.EX_SOFTWARE


if __name__ == "__main__":
    sys.exit(ended())
