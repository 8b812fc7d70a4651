"""Measures what shared noise buys at one epsilon: FEDVOXEL_DATA=... python -m benchmarks.distributed_noise.

Five hospitals with 34 patients of the hippocampus set each train one network from its seed, at half the resolution, a
hundred steps in all: with noise that each hospital adds for itself, with noise that they share, and without noise.
Every arm is run at each learning rate with the first seed; the other seeds run at the arm's best. One process, one
thread; every finished run is kept.
"""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks import RESULTS, WORK
from benchmarks.distributed_noise.arms import ARMS, RATES, Arm, configuration, task_of
from benchmarks.distributed_noise.hospitals import five_hospitals
from benchmarks.distributed_noise.report import Found, best_rate, write_results
from benchmarks.distributed_noise.training import train
from benchmarks.parts import Parts


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is missing and writes docs/results/distributed_noise.*."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES))
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDVOXEL_DATA", ".")), help="default: FEDVOXEL_DATA"
    )
    parser.add_argument("--work", type=Path, default=WORK / "distributed_noise")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    (options.work / "tables").mkdir(parents=True, exist_ok=True)
    sites = five_hospitals(options.data, options.work / "tables", task_of(ARMS[0], 1, RATES[0]))
    parts, found = Parts(options.work / "parts"), Found()

    def run(arm: Arm, seed: int, rate: float) -> None:
        measure = partial(train, arm, seed, rate, sites)
        values = parts.run(f"{arm.name}_{rate:g}_{seed}", configuration(arm, seed, rate), measure)
        found[arm.name, rate, seed] = values
        print(f"{arm.name}, rate {rate:g}, seed {seed}: Dice {values['dice']:.4f}", flush=True)

    for rate in options.rates:
        for arm in ARMS:
            run(arm, options.seeds[0], rate)
    for seed in options.seeds[1:]:
        for arm in ARMS:
            run(arm, seed, best_rate(found, arm, options.seeds[0]))
    write_results(found, options.seeds, options.out)


if __name__ == "__main__":
    main()
