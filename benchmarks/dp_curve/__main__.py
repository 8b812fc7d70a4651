"""Measures Dice over epsilon for patient-level privacy: FEDVOXEL_DATA=... python -m benchmarks.dp_curve.

Four hospitals of the hippocampus set: one case of each is declared public and pre-trains the model, the others are
trained on under the job hippocampus_dp_patient. Scores are of patients that nothing was trained on. Each run is one
process with one thread, as many at a time as there are cores; every finished run is kept.
"""

import argparse
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import RESULTS, WORK
from benchmarks.dp_curve.federation import hospitals
from benchmarks.dp_curve.plan import Run, Start, configuration, runs
from benchmarks.dp_curve.report import write_results
from benchmarks.dp_curve.training import train
from benchmarks.parts import Parts, Values


def main() -> int:
    """Runs what is missing and writes docs/results/dp_curve.*."""
    options = _options()
    work: Path = options.work.resolve()
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    hospitals(options.data, work)  # Writes the tables once, before many processes do.
    parts, wanted = Parts(work / "parts"), runs(options.seeds, options.lever_seeds)
    starts = sorted({run.start for run in wanted if run.start}, key=lambda start: start.name)
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn")) as pool:
        # Models first: what begins with one waits for it.
        public = _measure(parts, pool, starts, options.data, work)
        found = _measure(parts, pool, wanted, options.data, work)
    write_results(
        {start: public[start.name] for start in starts}, {run: found[run.name] for run in wanted}, options.out
    )
    print(f"written: {options.out / 'dp_curve.md'}, dp_curve.json, dp_curve.png")
    return 0


def _measure(
    parts: Parts, pool: ProcessPoolExecutor, wanted: Sequence[Run | Start], data: Path, work: Path
) -> Mapping[str, Values]:
    missing = [what for what in wanted if parts.get(what.name, configuration(what)) is None]
    waiting = {what.name: pool.submit(train, what, data, work) for what in missing}
    found = {}
    for what in wanted:
        future = waiting.get(what.name)
        found[what.name] = parts.run(what.name, configuration(what), future.result if future else dict)
        print(f"{what.name}: Dice {found[what.name]['dice']:.4f}", flush=True)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--lever-seeds", type=int, nargs="*", default=[1])
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDVOXEL_DATA", ".")), help="default: FEDVOXEL_DATA"
    )
    parser.add_argument("--work", type=Path, default=WORK / "dp_curve")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
