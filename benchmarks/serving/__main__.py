"""Compares a served model with the same model in one process: python -m benchmarks.serving [--sides 64 96 128].

Needs the extra `serve`, in an environment of its own; see docs/serving.md.
"""

import argparse
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks import RESULTS, WORK
from benchmarks.inference.networks import NETWORKS, convert
from benchmarks.overhead.machine import watched
from benchmarks.parts import Values
from benchmarks.serving.model import image_of
from benchmarks.serving.report import markdown, rows_of
from benchmarks.serving.systems import COPY, PLAIN, SYSTEMS, Segment, systems
from fedvoxel.evaluation.inference.session import usable_cores
from fedvoxel.records.atomic import write_json, write_text
from fedvoxel.serving.starting import load_kserve


def main() -> int:
    """Measures, prints and writes the report."""
    options = _options()
    load_kserve()
    onnx = options.work / f"{options.network}.onnx"
    if not onnx.is_file():
        convert(options.network, options.work)
    answers = {side: _measured(onnx, side, options) for side in options.sides}
    rows = rows_of(answers)
    asked = ("network", "repeats", "requests", "clients", "threads")
    conditions = {name: getattr(options, name) for name in asked}
    conditions["others"] = max(one["others"] for found in answers.values() for turns in found.values() for one in turns)
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    machine |= {name: version(name) for name in ("kserve", "onnxruntime", "grpcio", "uvicorn", "numpy")}
    text = markdown(rows, conditions, machine)
    write_json(options.out / "serving.json", {"rows": rows, "conditions": conditions, "machine": machine})
    write_text(options.out / "serving.md", text)
    print(text + f"\nwritten: {options.out / 'serving.md'}, serving.json")
    return 0


def _measured(onnx: Path, side: int, options: argparse.Namespace) -> dict[str, list[Values]]:
    """Asks each system in turn, after each has answered once with the same label."""
    image = image_of(side)
    answers: dict[str, list[Values]] = {name: [] for name in SYSTEMS}
    with systems(onnx, side, options.threads) as made:
        expected = made[PLAIN](image)
        for name, segment in made.items():
            if not np.array_equal(segment(image), expected) and name != COPY:
                raise SystemExit(f"{name} gives another label than {PLAIN}: nothing to compare")
        for _ in range(options.repeats):
            for name, segment in made.items():
                answers[name].append(_turn(segment, image, options.requests, options.clients))
                print(f"{side}: {name}: {1000 * answers[name][-1]['latency_s']:.1f} ms", flush=True)
    return answers


def _turn(segment: Segment, image: np.ndarray, requests: int, clients: int) -> Values:
    def run() -> Values:
        latencies = []
        for _ in range(requests):
            started = time.perf_counter()
            segment(image)
            latencies.append(time.perf_counter() - started)
        started = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(lambda _: segment(image), range(requests)))
        return {"latency_s": median(latencies), "requests_s": requests / (time.perf_counter() - started)}

    started = time.monotonic()
    found = watched(run)
    return found | {"others": found["others_cpu_s"] / (time.monotonic() - started)}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[64, 96, 128], help="voxels of each axis")
    parser.add_argument("--requests", type=int, default=12, help="requests of each turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each system; medians are reported")
    parser.add_argument("--clients", type=int, default=4, help="clients at a time, for requests per second")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of one request; default: all cores")
    parser.add_argument("--network", choices=NETWORKS, default="UNet")
    parser.add_argument("--work", type=Path, default=WORK / "serving", help="folder for what is made on the way")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the report")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
