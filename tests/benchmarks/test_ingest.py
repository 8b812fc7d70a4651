"""The report of the ingest benchmark says which side of each target a run is on; and the benchmark runs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.ingest.__main__ import SYSTEMS, rows_of
from benchmarks.ingest.report import markdown, verdicts
from benchmarks.ingest.scan import SIDE

ROOT = Path(__file__).resolve().parents[2]
VOLUME_MIB = 150 * SIDE * SIDE * 4 / 2**20


def answers(ours: float, memory: float) -> dict[tuple[str, str], list[dict[str, object]]]:
    def run(headers: float, volume: float) -> list[dict[str, object]]:
        seconds = {"headers": [headers, headers], "volume": [volume, volume]}
        return [{"seconds": seconds, "mib": memory * VOLUME_MIB}] * 3

    made = {}
    for state in ("warm", "cold"):
        made["ours", state] = run(ours, ours)
        made["simpleitk", state] = run(0.1, 0.4)
        made["dicom2nifti", state] = run(0.4, 0.2)
        made["dcm2niix", state] = [{"seconds": {"all": [1.0, 1.0]}, "mib": 100.0}]
    return made


def test_each_stage_is_held_against_the_fastest_peer_and_memory_against_the_volume() -> None:
    said = verdicts(rows_of(answers(ours=0.15, memory=1.2), 150))
    assert said[:-1] == [
        "Warm, headers: 1.50 of SimpleITK's time, slower.\n",
        "Warm, volume: 0.75 of dicom2nifti's time, not slower.\n",
        "Warm, all: 0.60 of SimpleITK's time, not slower.\n",
        "Cold, all: 0.60 of SimpleITK's time, not slower.\n",
    ]
    assert said[-1] == "Memory: 1.20 of the volume, within 1.5.\n"
    assert "above 1.5" in verdicts(rows_of(answers(ours=0.15, memory=1.6), 150))[-1]


def test_the_report_says_what_was_measured_and_beside_what() -> None:
    conditions = {"slices": 150, "side": SIDE, "repeats": 3, "cpu_s": 1.0, "others_cpu_s": 1.0}
    text = markdown(rows_of(answers(ours=0.15, memory=1.2), 150), conditions, {"cores": 2})
    assert "| warm | FedVoxel | 0.150 (0.150) | 0.150 (0.150) | 0.300 (0.300) | 500 |  | 1.20 |" in text
    assert "other programs took 50%" in text
    assert "busy" not in markdown(rows_of(answers(0.1, 1.0), 150), conditions | {"others_cpu_s": 0.0}, {"cores": 2})


@pytest.mark.slow
def test_the_benchmark_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.ingest", "--slices", "6", "--repeats", "2", "--out", str(tmp_path)]
    subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": "app_custom", "PATH": "/usr/bin:/bin"}, check=True, timeout=300
    )
    rows = json.loads((tmp_path / "ingest.json").read_text())["rows"]
    assert [row["system"] for row in rows] == [*SYSTEMS, *SYSTEMS]
    assert (tmp_path / "ingest.md").read_text().startswith("# From a CT series to a volume")
