"""What a clinician's process loads and takes: no torch, no MONAI, no FLARE, and no more memory than it was allowed."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluation.inference.bright_studies import bright_study, levels
from tests.evaluation.inference.command import RANGES, root_file
from tests.export.package_sample import sample_package

RUN = """
import json, re, sys
from fedvoxel.cli.main import main
code = main(sys.argv[1:])
unwanted = ("torch", "monai", "nvflare", "onnx", "tensorboard", "matplotlib", "openvino_telemetry")
heavy = [name for name in unwanted if sys.modules.get(name)]
peak_mb = int(re.search(r"VmHWM:\\s+([0-9]+)", open("/proc/self/status").read()).group(1)) / 1024
print(json.dumps({"code": code, "heavy": heavy, "peak_mb": peak_mb}), file=sys.stderr)
"""


def run(*arguments: Any) -> tuple[dict[str, Any], str]:
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *said, last = done.stderr.strip().splitlines()
    return json.loads(last), "\n".join(said)


@pytest.mark.parametrize("runtime", ["auto", "onnxruntime", "openvino"])
def test_predicting_a_study_loads_nothing_that_trains_or_calls_home(tmp_path: Path, runtime: str) -> None:
    package = sample_package(tmp_path, input=RANGES)
    study = bright_study(tmp_path / "study")
    asked = [package.path, study, "--root", root_file(tmp_path), "--out", tmp_path / "out", "--runtime", runtime]
    found, said = run("predict", *asked)
    assert found["code"] == 0, said
    assert found["heavy"] == []
    (folder,) = (tmp_path / "out").iterdir()
    used = json.loads((folder / "summary.json").read_text())["software"]["runtime"]
    assert used.startswith("ONNX Runtime" if runtime == "onnxruntime" else "OpenVINO")


def big_study(tmp_path: Path) -> Path:
    """Thirteen million voxels, in as few files as may be."""
    return bright_study(tmp_path / "study", codes=levels((50, 512, 512)))


def test_a_larger_study_stays_below_its_bound(tmp_path: Path) -> None:
    package = sample_package(tmp_path, input=RANGES, inference={"roi_size": [64, 64, 32], "batch_size": 16})
    asked = [package.path, big_study(tmp_path), "--root", root_file(tmp_path), "--out", tmp_path / "out"]
    found, said = run("predict", *asked, "--memory-mb", 1024)
    assert found["code"] == 0, said
    assert found["peak_mb"] < 1024


def test_a_study_that_does_not_fit_is_refused_and_takes_little(tmp_path: Path) -> None:
    package = sample_package(tmp_path, input=RANGES)
    asked = [package.path, big_study(tmp_path), "--root", root_file(tmp_path), "--out", tmp_path / "out"]
    found, said = run("predict", *asked, "--memory-mb", 512)
    assert found["code"] == 18 and "raise --memory-mb" in said
    assert found["peak_mb"] < 512 and not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_nothing(tmp_path: Path, threads: int) -> None:
    package = sample_package(tmp_path, input=RANGES)
    asked = [package.path, bright_study(tmp_path / "study"), "--root", root_file(tmp_path), "--out", tmp_path / "out"]
    found, said = run("predict", *asked, "--threads", threads)
    assert found["code"] == 0, said
    (folder,) = (tmp_path / "out").iterdir()
    volumes = [one["volume_ml"] for one in json.loads((folder / "summary.json").read_text())["structures"]]
    assert volumes == pytest.approx([np.sum(levels() == code) * 3.0 * 1.2 * 0.7 / 1000 for code in (1, 2)], rel=1e-6)
