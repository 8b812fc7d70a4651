"""The report of the serving benchmark says which side of its target a run is on; and the benchmark runs."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.serving.report import markdown, rows_of, verdicts
from benchmarks.serving.systems import COPY, GRPC, IN_PROCESS, PLAIN, REST, SYSTEMS

ROOT = Path(__file__).resolve().parents[2]
CONDITIONS = {"network": "UNet", "repeats": 3, "requests": 5, "clients": 4, "threads": 2, "others": 0.05}


def turns(milliseconds: float, rate: float = 10.0) -> list[dict[str, Any]]:
    """Two usual turns, and one that something else held up."""
    usual = {"latency_s": milliseconds / 1000, "requests_s": rate}
    return [usual, usual, {"latency_s": 9.0, "requests_s": 0.1}]


def answers(rest: float, grpc: float) -> dict[int, dict[str, list[dict[str, Any]]]]:
    found = {PLAIN: turns(100.0), IN_PROCESS: turns(110.0), REST: turns(rest, 5.0), GRPC: turns(grpc), COPY: turns(4.0)}
    return {64: found}


def test_overhead_is_what_is_left_beside_the_same_work_and_the_copy() -> None:
    rows = {row["system"]: row for row in rows_of(answers(rest=130.0, grpc=120.0))}
    assert rows[REST]["overhead_ms"] == pytest.approx(16.0) and rows[GRPC]["overhead_ms"] == pytest.approx(6.0)
    assert rows[REST]["times_latency"] == pytest.approx(1.3) and rows[REST]["times_requests"] == pytest.approx(0.5)
    assert "overhead_ms" not in rows[PLAIN] and "times_latency" not in rows[COPY]
    (said,) = verdicts(list(rows.values()))
    assert "REST costs 16.0 ms beyond the copy, above 10 ms" in said
    assert "gRPC costs 6.0 ms beyond the copy, within 10 ms" in said and "the copy alone takes 4.0 ms" in said


def test_the_report_has_a_line_for_each_system() -> None:
    text = markdown(rows_of(answers(130.0, 120.0)), CONDITIONS, {"cores": 2})
    assert "| 64³ | gRPC | 120.0 | 1.20 | 10.00 | 1.00 | 6.0 |" in text
    assert all(f"| 64³ | {name} |" in text for name in SYSTEMS) and "the machine was quiet" in text
    assert "on a quiet machine" in markdown(rows_of(answers(1.0, 1.0)), CONDITIONS | {"others": 0.5}, {})


@pytest.mark.slow
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("kserve", "monai", "onnxscript")),
    reason="needs the extras serve, site and export, in an environment of their own: docs/serving.md",
)
def test_the_benchmark_runs(tmp_path: Path) -> None:
    size = ["--sides", "32", "--requests", "2", "--repeats", "1", "--clients", "2", "--threads", "1"]
    command = [sys.executable, "-m", "benchmarks.serving", *size]
    command += ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    made = json.loads((tmp_path / "out" / "serving.json").read_text())
    assert {row["system"] for row in made["rows"]} == set(SYSTEMS)
    assert all(row["latency_ms"] > 0 and row["requests_s"] > 0 for row in made["rows"])
