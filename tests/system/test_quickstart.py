"""The quickstart as a newcomer runs it without any data: real processes, simulated brains, nothing left running."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from fedvoxel.evaluation.job_result import open_job_result

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_without_data_it_trains_on_simulated_brains_and_can_be_repeated(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fedvoxel.cli.main", "quickstart", "--job", "brain_demo", "--work", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "FEDVOXEL_DATA"}
    for runs in (1, 2):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=540)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        assert "not patient data" in done.stdout
        results = sorted((tmp_path / "brain_demo" / "results").iterdir())
        assert len(results) == runs
    for result in results:
        outcome = open_job_result(result).outcome
        assert outcome.status == "finished"
        assert (result / "report" / "report.html").is_file()
    models = {open_job_result(result).outcome.model.sha256 for result in results}
    assert len(models) == 1, "the same job gave two different models"
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if str(tmp_path) in str(process.info["cmdline"])
    ]
