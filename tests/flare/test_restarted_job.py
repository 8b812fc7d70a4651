"""A job outlives its process, for so long as that does not die too often; the processes are real."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from nvflare.apis.job_launcher_spec import JobReturnCode
from nvflare.app_common.job_launcher.process_launcher import ProcessHandle
from nvflare.utils.process_utils import spawn_process

from fedvoxel.errors import ConfigError
from fedvoxel.flare import restarted_job
from fedvoxel.flare.restarted_job import RestartedJob, RestartingJobLauncher

SLEEP = "import time; time.sleep(60)"


class Processes:
    """Starts one program after another, each in a session of its own as FLARE's launcher does."""

    def __init__(self, *programs: str) -> None:
        self.programs, self.started = list(programs), []

    def __call__(self) -> ProcessHandle:
        adapter = spawn_process([sys.executable, "-c", self.programs.pop(0)], dict(os.environ))
        self.started.append(adapter.pid)
        return ProcessHandle(process_adapter=adapter)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No rest between two processes, and no server that has to hear of the job first."""
    monkeypatch.setattr(restarted_job, "_FIRST_REST_S", 0.0)
    monkeypatch.setattr(restarted_job, "_HEARD_S", 0.0)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_job_that_ends_well_is_not_started_again(tmp_path: Path) -> None:
    processes = Processes("pass")
    job = RestartedJob(processes, tmp_path / "rc", 5)
    assert job.poll() == JobReturnCode.UNKNOWN
    job.wait()
    assert (job.poll(), len(processes.started)) == (JobReturnCode.SUCCESS, 1)


@pytest.mark.parametrize("death", ["import os; os.kill(os.getpid(), 9)", "import os; os._exit(3)", "raise ValueError"])
def test_a_process_that_died_is_started_again(tmp_path: Path, death: str) -> None:
    processes = Processes(death, death, "pass")
    job = RestartedJob(processes, tmp_path / "rc", 2)
    job.wait()
    assert (job.poll(), len(processes.started)) == (JobReturnCode.SUCCESS, 3)


def test_a_process_that_dies_too_often_is_given_up_and_the_server_learns_of_no_failure(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    processes = Processes(*["import os; os._exit(1)"] * 3)
    job = RestartedJob(processes, tmp_path / "rc", 2)
    job.wait()
    assert (job.poll(), len(processes.started)) == (JobReturnCode.UNKNOWN, 3)
    assert "event=job_process_died exit_code=1 restart=2 of=2" in caplog.text
    assert "event=job_given_up exit_code=1 deaths_in_an_hour=3" in caplog.text


def test_deaths_of_more_than_an_hour_ago_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarted_job, "_WINDOW_S", 0.0)
    processes = Processes(*["import os; os._exit(1)"] * 4, "pass")
    job = RestartedJob(processes, tmp_path / "rc", 1)
    job.wait()
    assert (job.poll(), len(processes.started)) == (JobReturnCode.SUCCESS, 5)


@pytest.mark.parametrize("code", [JobReturnCode.UNSAFE_COMPONENT, JobReturnCode.CONFIG_ERROR])
def test_what_cannot_run_here_is_given_up_at_once(tmp_path: Path, code: int) -> None:
    processes = Processes(f"import os; os._exit({code})")
    job = RestartedJob(processes, tmp_path / "rc", 5)
    job.wait()
    assert (job.poll(), len(processes.started)) == (JobReturnCode.UNKNOWN, 1)


def test_the_code_that_a_process_has_left_in_its_file_counts_and_flare_does_not_find_it(tmp_path: Path) -> None:
    left = tmp_path / "rc"
    processes = Processes(f"open({str(left)!r}, 'w').write('{JobReturnCode.EXCEPTION}')", "pass")
    job = RestartedJob(processes, left, 5)
    job.wait()
    assert (job.poll(), len(processes.started)) == (JobReturnCode.SUCCESS, 2)
    assert not left.exists()


def test_a_job_that_was_asked_to_end_is_not_started_again(tmp_path: Path) -> None:
    processes = Processes(SLEEP)
    job = RestartedJob(processes, tmp_path / "rc", 5)
    waiting = threading.Thread(target=job.wait)
    waiting.start()
    job.terminate()
    waiting.join(20)
    assert not waiting.is_alive()
    assert (job.poll(), len(processes.started)) == (JobReturnCode.EXECUTION_ERROR, 1)


def test_a_job_that_is_asked_to_end_while_it_rests_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarted_job, "_FIRST_REST_S", 60.0)
    processes = Processes("import os; os._exit(1)", SLEEP)
    job = RestartedJob(processes, tmp_path / "rc", 5)
    waiting = threading.Thread(target=job.wait)
    waiting.start()
    _until(lambda: not psutil.pid_exists(processes.started[0]))
    job.terminate()
    waiting.join(20)
    assert not waiting.is_alive()
    assert len(processes.started) == 1


def test_what_a_dead_process_has_left_running_is_ended_before_the_next_one_starts(tmp_path: Path) -> None:
    child = tmp_path / "child"
    program = (
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); "
        f"open({str(child)!r}, 'w').write(str(child.pid)); import time; time.sleep(60)"
    )
    processes = Processes(program, "pass")
    job = RestartedJob(processes, tmp_path / "rc", 5)
    _until(lambda: child.is_file() and child.read_text() != "")
    trainer = psutil.Process(int(child.read_text()))
    os.kill(processes.started[0], signal.SIGKILL)
    job.wait()
    _until(lambda: not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE)
    assert job.poll() == JobReturnCode.SUCCESS


@pytest.mark.parametrize("restarts", [-1, 101, True, "5"])
def test_absurd_numbers_of_restarts_are_refused(restarts: object) -> None:
    with pytest.raises(ConfigError, match="expected a number from 0 to 100"):
        RestartingJobLauncher(restarts)  # type: ignore[arg-type]
