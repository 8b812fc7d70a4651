"""One measurement in a process of its own: python -m benchmarks.inference.process, with what to do as JSON."""

import json
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.inference.systems import segment_with


def main() -> int:
    """Measures what standard input asks for, and prints it as JSON."""
    warnings.filterwarnings("ignore")
    asked = json.load(sys.stdin)
    measure = measure_study if asked["what"] == "study" else measure_volume
    print(json.dumps(measure(asked)))
    return 0


def phantom(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A body in air, with organs of other densities and noise; scaled as a plan scales it, (1, X, Y, Z)."""
    x, y, z = np.meshgrid(
        *(np.linspace(-1, 1, length, dtype=np.float32) for length in shape), indexing="ij", sparse=True
    )
    image = np.where((x / 0.8) ** 2 + (y / 0.6) ** 2 < 1, np.float32(0.4), np.float32(-1.6)) + 0 * z
    for centre, size, value in (((0.3, 0.1, 0), 0.35, 0.5), ((-0.3, 0, 0.2), 0.25, -0.4), ((0, 0.3, -0.3), 0.15, 1.5)):
        inside = sum(((axis - middle) / size) ** 2 for axis, middle in zip((x, y, z), centre, strict=True)) < 1
        image[inside] += np.float32(value)
    noise = np.random.default_rng(1)
    for plane in image:
        plane += 0.1 * noise.standard_normal(plane.shape, dtype=np.float32)
    return image[np.newaxis]


def measure_volume(asked: dict[str, Any]) -> dict[str, Any]:
    """Returns seconds (wall, processor) of one whole volume after one window, peak memory, and how far labels agree."""
    image, size = phantom(tuple(asked["shape"])), tuple(asked["window"])
    segment = segment_with(asked["system"], asked["network"], Path(asked["folder"]), asked["limit_mb"])
    segment(np.ascontiguousarray(image[(slice(None), *(slice(side) for side in size))]), size)
    wall_s, processor_s = time.perf_counter(), time.process_time()
    label = segment(image, size)
    seconds = {"wall_s": time.perf_counter() - wall_s, "processor_s": time.process_time() - processor_s}
    reference = Path(asked["folder"]) / f"{asked['network']}-{'x'.join(map(str, asked['shape']))}.npy"
    if asked["system"] == "eager":
        np.save(reference, label)
    return {**seconds, "peak_mib": peak_mib(), "agreement": float(np.mean(np.load(reference) == label))}


def measure_study(asked: dict[str, Any]) -> dict[str, Any]:
    """Returns seconds from a DICOM folder to a written segmentation, in a process that has started up."""
    from benchmarks.inference.study import study_seconds

    return {**study_seconds(Path(asked["study"]), asked["network"], Path(asked["folder"])), "peak_mib": peak_mib()}


def peak_mib() -> float:
    """Returns the largest resident memory of this process."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0


if __name__ == "__main__":
    raise SystemExit(main())
