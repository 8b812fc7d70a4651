"""The report of the inference benchmark says which side of each target a run is on; and the benchmark runs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.inference.process import phantom
from benchmarks.inference.report import markdown, rows_of, verdicts
from benchmarks.inference.systems import SYSTEMS

ROOT = Path(__file__).resolve().parents[2]


def run(wall_s: float, peak_mib: float = 900.0) -> dict[str, Any]:
    return {"wall_s": wall_s, "processor_s": 2 * wall_s, "peak_mib": peak_mib, "agreement": 0.9999}


def answers(ours: float, peak_mib: float) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found = {("UNet", system): [run(12.0)] * 3 for system in ("eager", "torchscript", "onnxruntime")}
    found["UNet", "openvino"] = [run(ours, peak_mib), run(ours, peak_mib), run(100.0, peak_mib)]
    found["UNet", "openvino_bf16"] = [run(1.0)]
    return found


def test_our_best_is_held_against_eager_and_the_bound_and_what_was_tried_is_not() -> None:
    (said,) = verdicts(rows_of(answers(6.0, 800.0)), None)
    assert "OpenVINO is 2.00 times as fast as MONAI eager, which reaches 1.5" in said and "within 4096" in said
    (said,) = verdicts(rows_of(answers(9.0, 5000.0)), None)
    assert "1.33 times" in said and "misses 1.5" in said and "above 4096" in said


def test_a_study_is_held_against_three_seconds() -> None:
    rows = rows_of(answers(6.0, 800.0))
    assert "within 3 s" in verdicts(rows, {"seconds": [1.0, 2.0, 9.0], "peak_mib": 300.0})[-1]
    assert "above 3 s" in verdicts(rows, {"seconds": [4.0], "peak_mib": 300.0})[-1]


def test_the_report_says_what_was_only_tried() -> None:
    conditions = {"shape": (8, 8, 8), "window": (4, 4, 4), "repeats": 3, "others": 0.05}
    text = markdown(rows_of(answers(6.0, 800.0)), None, conditions, {"cores": 2})
    assert "| UNet | FedVoxel, OpenVINO in bfloat16 (tried only) | 1.0 | 12.00 |" in text
    assert "the machine was quiet" in text
    assert "on a quiet machine" in markdown(rows_of(answers(6.0, 8.0)), None, conditions | {"others": 0.5}, {})
    assert text.index("tried only") > text.index("| UNet | FedVoxel, OpenVINO |")


def test_the_phantom_is_a_body_in_air() -> None:
    image = phantom((40, 30, 20))
    assert image.shape == (1, 40, 30, 20) and image.dtype == np.float32
    assert image[0, 0, 0].mean() < -1 and image[0, 20, 15].mean() > 0


@pytest.mark.slow
def test_the_benchmark_runs_and_goes_on(tmp_path: Path) -> None:
    size = ["--shape", "40", "40", "24", "--window", "32", "32", "16", "--repeats", "1", "--network", "UNet"]
    command = [sys.executable, "-m", "benchmarks.inference", *size]
    command += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out"), "--data", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    made = json.loads((tmp_path / "out" / "inference.json").read_text())
    assert {row["system"] for row in made["rows"]} == set(SYSTEMS)
    exact = {row["system"]: row["agreement"] for row in made["rows"] if not SYSTEMS[row["system"]].is_tried}
    assert min(exact.values()) > 0.999
    parts = sorted((tmp_path / "work" / "parts").iterdir())
    parts[0].unlink()
    before = {path: path.stat().st_mtime_ns for path in parts[1:]}
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in parts[1:]} == before and parts[0].exists()
