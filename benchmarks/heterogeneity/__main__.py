"""Compares algorithms on unequal hospitals: FEDVOXEL_DATA=... python -m benchmarks.heterogeneity.

Every run is one process with one thread, several at a time; each finished run is kept, so that the command can be
stopped and repeated; --finished makes the tables of those alone.
"""

import argparse
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from benchmarks import RESULTS, RUNS, WORK
from benchmarks.arithmetic import require_bfloat16
from benchmarks.heterogeneity.plan import ESSENTIAL, LEVERS, STRATEGIES, Run, configuration, planned
from benchmarks.heterogeneity.report import write_results
from benchmarks.heterogeneity.splits import SPLITS, make_split
from benchmarks.heterogeneity.training import measure
from benchmarks.parts import Parts, Values
from fedvoxel.errors import ConfigError

_METHODS = {"essential": ESSENTIAL, "strategies": tuple(STRATEGIES), "all": (*STRATEGIES, *LEVERS)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what is missing and writes heterogeneity.json, .md and .png."""
    options = _options(arguments)
    work: Path = options.work.resolve()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    methods = [name for word in options.methods for name in _METHODS.get(word, (word,))]
    parts, found = Parts(options.runs), {}
    files = {split: make_split(split, options.data, work) for split in options.splits}
    wanted = [run for split in files for run in planned(split, options.seeds, methods, list(files[split]))]
    for run in wanted:
        run.job()  # An unknown method is refused before anything is trained.
    finished = {run for run in wanted if parts.get(run.name, configuration(run)) is not None}
    if options.finished:
        wanted = [run for run in wanted if {replace(run, seed=seed) for seed in options.seeds} <= finished]
        if not wanted:
            raise ConfigError(f"no method is finished for all of the seeds {options.seeds}; leave --finished out")
    elif not options.any_cpu and finished != set(wanted):
        require_bfloat16()
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
        found = _measure(parts, pool, wanted, files)
    write_results(found, options.out)
    print(f"written: {options.out / 'heterogeneity.md'}, heterogeneity.json, heterogeneity.png")
    return 0


def _measure(
    parts: Parts, pool: ProcessPoolExecutor, wanted: Sequence[Run], files: Mapping[str, Mapping[str, Path]]
) -> dict[Run, Values]:
    found = {run: kept for run in wanted if (kept := parts.get(run.name, configuration(run))) is not None}
    waiting = {pool.submit(measure, run, files[run.split]): run for run in wanted if run not in found}
    for future in as_completed(waiting):
        run = waiting[future]
        found[run] = parts.run(run.name, configuration(run), future.result)
        print(f"{run.name}: {found[run]['seconds']:.0f} s", flush=True)
    return {run: found[run] for run in wanted}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--splits", nargs="+", choices=list(SPLITS), default=list(SPLITS))
    parser.add_argument(
        "--methods", nargs="+", default=["all"], help="essential, strategies, all, or names; default: all"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDVOXEL_DATA", ".")), help="default: FEDVOXEL_DATA"
    )
    parser.add_argument("--work", type=Path, default=WORK / "heterogeneity")
    parser.add_argument("--runs", type=Path, default=RUNS / "heterogeneity", help="where finished runs are kept")
    parser.add_argument(
        "--finished", action="store_true", help="train nothing: tables of what is finished for all seeds"
    )
    parser.add_argument("--any-cpu", action="store_true", help="train in float32 where the CPU has no bfloat16")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
