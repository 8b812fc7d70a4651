"""FLARE's own job runner goes on after an error that would have ended its thread."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.private.fed.server.job_runner import JobRunner
from nvflare.private.fed.server.server_state import HotState

from fedvoxel.flare import steady_scheduling
from fedvoxel.flare.steady_scheduling import outlive_errors


class Server:
    """Is as much of FLARE's server as its job runner meets; the first looks for jobs fail."""

    def __init__(self, runner: JobRunner, fails: int) -> None:
        self.runner, self.fails, self.looks = runner, fails, 0
        self.server = SimpleNamespace(server_state=HotState())

    def get_component(self, name: str) -> Any:
        return self

    def get_clients(self) -> list[str]:
        return ["hospital-a"]

    def get_jobs_to_schedule(self, fl_ctx: Any) -> list[Any]:
        self.looks += 1
        if self.looks <= self.fails:
            raise AttributeError("'NoneType' object has no attribute 'meta'")
        self.runner.ask_to_stop = True
        return []


def context_of(server: Server) -> Any:
    return SimpleNamespace(get_engine=lambda: server, get_identity_name=lambda: "server")


def test_scheduling_goes_on_and_jobs_are_ended_by_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady_scheduling, "_PAUSE_S", 0.01)
    runner = JobRunner(str(tmp_path))
    monkeypatch.setattr(runner, "log_debug", lambda *said: None)
    server, ending = Server(runner, fails=2), list[Any]()

    def ends_jobs(engine: Any) -> None:
        ending.append(engine)
        if len(ending) == 1:
            raise KeyError("a job that went while it was being ended")
        while not runner.ask_to_stop:
            time.sleep(0.01)

    monkeypatch.setattr(runner, "_job_complete_process", ends_jobs)
    outlive_errors(runner)
    thread = threading.Thread(target=runner.run, args=(context_of(server),), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive() and server.looks == 3
    assert len(ending) == 2, "it went on after its error, and no second one was started beside it"


def test_flares_own_ends_at_the_first_error(tmp_path: Path) -> None:
    runner = JobRunner(str(tmp_path))
    server = Server(runner, fails=1)
    try:
        with pytest.raises(AttributeError):
            runner.run(context_of(server))
    finally:
        runner.ask_to_stop = True
    assert server.looks == 1
