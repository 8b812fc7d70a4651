"""A kit's process: started once, with nothing in its way that a killed one left behind."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fedvoxel.errors import ConsortiumError
from fedvoxel.flare.kit_process import (
    KitProcess,
    last_complaint,
    lock_without_orphans,
    processes_of,
    start_kit,
)
from fedvoxel.flare.process_family import end_family
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.governance.kit_lock import lock_kit
from tests.consortium_kits import small_consortium

JOB_PROCESS, OWN_PROCESS = (
    "nvflare.private.fed.app.client.worker_process",
    "nvflare.private.fed.app.client.client_train",
)
SLEEPER = (
    "import subprocess, sys, time; "
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); time.sleep(60)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """A hospital's kit whose server does not run."""
    return open_kit(small_consortium(tmp_path_factory.mktemp("consortium")).kit("hospital-a"))


@pytest.fixture
def stand_in(site: Kit, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like one of the kit's, has a child of its own, and holds the kit's lock."""
    handle = lock_kit(site)
    child = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, "-m", request.param, "-m", str(site.folder)], pass_fds=(handle,)
    )
    os.close(handle)
    yield child
    if child.poll() is None:
        end_family([psutil.Process(child.pid)], grace_s=0)
    child.wait()


@pytest.mark.parametrize("stand_in", [JOB_PROCESS], indirect=True)
def test_a_job_process_that_outlived_its_site_does_not_stop_the_next_start(
    site: Kit, stand_in: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with (tmp_path / "console").open("w") as console:
        started = start_kit(site, console)
    try:
        assert stand_in.poll() is not None
        assert [process.pid for process in processes_of(site.folder)] == [started.pid]
        assert "Umask:\t0077" in Path(f"/proc/{started.pid}/status").read_text()
    finally:
        end_family([psutil.Process(started.pid)], grace_s=0)
        started.wait()
    assert processes_of(site.folder) == []


def test_a_start_waits_for_the_lock_of_a_process_that_is_dying(site: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    held = lock_kit(site)
    threading.Timer(0.3, os.close, [held]).start()
    os.close(lock_without_orphans(site))
    monkeypatch.setattr("fedvoxel.flare.kit_process.GRACE_S", 0.2)
    held = lock_kit(site)
    try:
        with pytest.raises(ConsortiumError, match="already running"):
            lock_without_orphans(site)
    finally:
        os.close(held)


@pytest.mark.parametrize("stand_in", [OWN_PROCESS], indirect=True)
def test_a_running_kit_is_left_alone(site: Kit, stand_in: subprocess.Popen[bytes]) -> None:
    with pytest.raises(ConsortiumError, match=rf"already running, as process {stand_in.pid}; .*kill {stand_in.pid}\)"):
        start_kit(site)
    assert stand_in.poll() is None


@pytest.mark.parametrize("stand_in", [OWN_PROCESS], indirect=True)
def test_a_family_ends_to_the_last_child(stand_in: subprocess.Popen[bytes]) -> None:
    parent = psutil.Process(stand_in.pid)
    while not (children := parent.children(recursive=True)):
        pass
    end_family([parent])
    assert not any(child.is_running() for child in children)


def test_a_later_process_with_the_same_number_is_another() -> None:
    this = psutil.Process()
    assert KitProcess("x", this.pid, this.create_time()).process() == this
    assert KitProcess("x", this.pid, this.create_time() - 60).process() is None
    assert KitProcess("x", 2**22 + 1, 0.0).process() is None


def test_the_last_complaint_is_told(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    assert last_complaint(log) == ""
    log.write_text("a - INFO - fine\nb - ERROR - first\nValueError: last\nc - INFO - fine\n")
    assert last_complaint(log) == "ValueError: last"
