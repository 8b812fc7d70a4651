"""The quickstart as a newcomer runs it without any data: real processes, simulated brains, nothing left running."""

import os
import signal
import subprocess
import sys
import time
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
        assert f"consortium start {tmp_path / 'brain_demo'}" in done.stdout
    for result in results:
        outcome = open_job_result(result).outcome
        assert outcome.status == "finished"
        assert (result / "report" / "report.html").is_file()
    models = {open_job_result(result).outcome.model.sha256 for result in results}
    assert len(models) == 1, "the same job gave two different models"
    assert not _running(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_middle_of_the_run_leaves_nothing_running(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fedvoxel.cli.main", "quickstart", "--job", "brain_demo", "--work", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        deadline = time.monotonic() + 240
        while not any("training.worker" in line for line in _running(tmp_path, "fedvoxel")):
            assert process.poll() is None and time.monotonic() < deadline, "no trainer was ever started"
            time.sleep(0.2)
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert "Traceback" not in said
    assert not _running(tmp_path)


def _running(work: Path, *also: str) -> list[str]:
    """Returns the command lines of the processes that run in or from `work`."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        line = " ".join(process.info["cmdline"] or [])
        home = (process.info["environ"] or {}).get("HOME", "")
        if str(work) in line or (also and str(work) in home):
            found.append(line)
    return found
