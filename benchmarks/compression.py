"""What do fewer bytes cost? The hippocampus job with each codec, both ways, on the same cases and seeds.

Runs `evaluation.simulation` (the same rounds, trainers and payloads as over FLARE) for the four hospitals, once with
float32 and once with each codec, and compares bytes per round, Dice on unseen cases, and the time that encoding and
decoding take. Every finished part is kept.

    FEDVOXEL_DATA=... python -m benchmarks.compression
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

from benchmarks import RUNS
from benchmarks.arithmetic import has_bfloat16, require_bfloat16
from benchmarks.hospitals import JOB, make_hospitals
from benchmarks.parts import Parts
from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.experiment import load_site_cases
from fedvoxel.evaluation.simulation import simulate
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.records.atomic import write_json, write_text
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.training.setup import TrainingTask
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.compression.payload import decode, encode
from fedvoxel.volumes.site import ComputeConfig

PORT = 28131
CODECS: dict[str, dict[str, Any] | None] = {
    "float32": None,
    "int8": {"name": "int8"},
    "int4": {"name": "int4"},
    "stepped 0.5, 7 levels": {"name": "stepped", "step": 0.5, "levels": 7},
    "stepped 1, 3 levels": {"name": "stepped", "step": 1.0, "levels": 3},
    "stepped 2, 2 levels": {"name": "stepped", "step": 2.0, "levels": 2},
    "stepped 3, 2 levels": {"name": "stepped", "step": 3.0, "levels": 2},
    "stepped 4, 1 level": {"name": "stepped", "step": 4.0, "levels": 1},
    "top 10 %": {"name": "topk", "fraction": 0.1},
    "top 8 %, signs": {"name": "topk", "fraction": 0.08, "values": "sign"},
    "top 5 %, signs": {"name": "topk", "fraction": 0.05, "values": "sign"},
    "top 1 %, signs": {"name": "topk", "fraction": 0.01, "values": "sign"},
    "random 10 %": {"name": "randomk", "fraction": 0.1},
    "rank 4": {"name": "powersgd", "rank": 4},
}
SECURE_BITS = {"masked, 8 bits": 8, "masked, 10 bits": 10, "masked, 16 bits": 16}
"""Updates that are masked, in rings of so many bits; the model goes down as it is."""

SETTINGS: dict[str, dict[str, Any]] = {
    name: {"compression": {"up": codec, "down": codec}} for name, codec in CODECS.items()
} | {
    name: {"secure_aggregation": {"bits": bits, "dropouts": 0}, "min_sites": 3, "max_cases_per_site": 1000}
    for name, bits in SECURE_BITS.items()
}
Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is missing and writes docs/results/compression.*."""
    options = _options(arguments)
    parts, names = Parts(options.runs), list(options.codecs)
    wanted = [(name, seed) for seed in options.seeds for name in names]
    missing = [plan for plan in wanted if parts.get(_part(*plan), _asked(*plan)) is None]
    if options.finished:
        names = [name for name in names if not any((name, seed) in missing for seed in options.seeds)]
        if "float32" not in names:
            raise ConfigError(f"float32, which all are compared with, is not finished for seeds {options.seeds}")
    elif missing:
        if not options.any_cpu:
            require_bfloat16()
        hospitals = make_hospitals(options.work.resolve(), options.data, PORT, None)
        _run(parts, missing, hospitals.task, dict(hospitals.site_files), options.workers)
    found = {name: [parts.get(_part(name, seed), _asked(name, seed)) or {} for seed in options.seeds] for name in names}
    write_json(options.out / "compression.json", {"seeds": options.seeds, "codecs": found})
    write_text(options.out / "compression.md", table(found, options.seeds))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--codecs", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="CODEC")
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDVOXEL_DATA", ".")), help="default: FEDVOXEL_DATA"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=Path("work/benchmarks/compression"))
    parser.add_argument("--runs", type=Path, default=RUNS / "compression", help="where finished runs are kept")
    parser.add_argument(
        "--finished", action="store_true", help="train nothing: the table of what is finished for all seeds"
    )
    parser.add_argument("--any-cpu", action="store_true", help="train in float32 where the CPU has no bfloat16")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    return parser.parse_args(arguments)


def _run(
    parts: Parts, missing: Collection[tuple[str, int]], task: TrainingTask, files: dict[str, Path], workers: int
) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=workers, mp_context=context) as pool:
        waiting = {pool.submit(_measure, task, files, *plan): plan for plan in missing}
        for future in as_completed(waiting):
            name, seed = waiting[future]
            parts.run(_part(name, seed), _asked(name, seed), future.result)
            print(f"seed {seed}: {name}", flush=True)


def _part(name: str, seed: int) -> str:
    return f"{name.replace(' ', '_').replace(',', '').replace('%', 'percent')}_{seed}"


def _asked(name: str, seed: int) -> dict[str, Any]:
    return {"setting": SETTINGS[name], "training": _training_changes(seed)}


def _training_changes(seed: int) -> dict[str, Any]:
    """Returns what is changed of the job's training section; in bfloat16 it takes a third of the time."""
    return {"seed": seed, "cpu_bfloat16": True}


def _measure(task: TrainingTask, files: dict[str, Path], name: str, seed: int) -> Result:
    """Runs the job with one setting and one seed."""
    task = task.model_copy(update={"training": task.training.model_copy(update=_training_changes(seed))})
    section = read_job_folder(JOB).controller.args["rounds"] | SETTINGS[name]
    sites = {site: load_site_cases(file, task) for site, file in files.items()}
    run = simulate(task, parse_config(RoundsConfig, section, "rounds"), sites, ComputeConfig(threads=1))
    dice = [
        value for scores in run.test.values() for score in scores for value in score.dice.values() if value is not None
    ]
    return {
        "bfloat16": has_bfloat16(),
        "bytes_up": [record.bytes_up for record in run.rounds],
        "bytes_down": [record.bytes_down for record in run.rounds],
        "dice": fmean(dice),
        "training_s": run.seconds / len(run.rounds) / len(sites),
        "codec_s": _codec_seconds(task, CODECS.get(name)),
    }


def _codec_seconds(task: TrainingTask, codec: dict[str, Any] | None) -> float:
    """Returns the median time in which a site encodes its update and decodes the server's change."""
    if codec is None:
        return 0.0
    config, random = READ_CODEC.validate_python(codec), np.random.default_rng(1)
    shapes = get_weights(build_network(task.training.network, len(task.classes) + 1, 1))
    arrays = {name: random.standard_t(4, array.shape).astype(np.float32) * 1e-2 for name, array in shapes.items()}
    seconds = []
    for _ in range(9):
        started = time.perf_counter()
        decode(encode(arrays, config, random, {})[0], {name: array.shape for name, array in arrays.items()})
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def table(found: dict[str, list[Result]], seeds: Sequence[int]) -> str:
    """Returns the page: a line per codec, against float32 on the same seeds."""
    plain = found["float32"]
    lines = [
        "# Fewer bytes: what they cost",
        "",
        f"`scripts/benchmark compression`: the hippocampus job (12 rounds, four hospitals), seeds {list(seeds)},",
        "the same codec both ways, Dice on unseen cases (mean over cases and classes). Bytes are those of all rounds'",
        "payloads, up and down together, against float32. Time: encoding and decoding one update over a site's",
        "training.",
        "",
        "| codec, both ways | times fewer bytes | Dice | against float32 (each seed) | codec time / training |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, runs in found.items():
        fewer = median(_bytes(a) / _bytes(b) for a, b in zip(plain, runs, strict=True))
        losses = [b["dice"] - a["dice"] for a, b in zip(plain, runs, strict=True)]
        share = median(run["codec_s"] / run["training_s"] for run in runs)
        lines.append(
            f"| {name} | {fewer:.1f} | {fmean(run['dice'] for run in runs):.4f} "
            f"| {fmean(losses):+.4f} ({', '.join(f'{loss:+.4f}' for loss in losses)}) | {share:.2%} |"
        )
    in_float32 = [
        f"{name} of seed {seed}"
        for name, runs in found.items()
        for seed, run in zip(seeds, runs, strict=True)
        if not run["bfloat16"]
    ]
    if in_float32:
        lines += ["", f"Trained in float32, on a CPU without bfloat16: {', '.join(in_float32)}."]
    return "\n".join([*lines, ""])


def _bytes(run: Result) -> int:
    return sum(run["bytes_up"]) + sum(run["bytes_down"])


if __name__ == "__main__":
    main()
