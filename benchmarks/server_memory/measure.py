"""Runs the simulated job on real FLARE processes and asks the kernel for the server's peak memory."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.parts import Values
from benchmarks.server_memory.consortium import RUN_KEY, make_consortium, write_job
from fedvoxel.config import load_json_config
from fedvoxel.errors import JobError
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome
from fedvoxel.flare.consortium_processes import RunningConsortium, start_consortium
from fedvoxel.flare.session import flare_session, submit, wait_for_job
from fedvoxel.governance.consortium import Consortium

_BATCH = 8
_JOB_PROCESS = "runner_process"
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass
class Peak:
    """Is the largest memory of the server's job process so far, and whether it has loaded torch."""

    mib: float = 0.0
    torch: bool = False


def measure(work: Path, sites: int, rounds: int, port: int) -> Values:
    """Runs `rounds` rounds with `sites` sites, each a FLARE client and a job process of its own.

    Raises:
        JobError: The run did not finish with all sites in all rounds.
    """
    consortium = make_consortium(work, sites, port)
    record = consortium.server_kit / "state" / "runs" / RUN_KEY / OUTCOME_FILE
    shutil.rmtree(record.parent, ignore_errors=True)  # a run that has finished is not run again
    job = write_job(work / "job", rounds, sites)
    with _running(consortium) as running, flare_session(consortium.kit(consortium.person("lead"))) as session:
        server = running.processes[consortium.record.server].process()
        with _watched(server) as peak:
            status = wait_for_job(session, submit(session, job))
    if not record.is_file():
        raise JobError(f"the job ended as {status} without an outcome; see the server's console.log")
    outcome = load_json_config(RunOutcome, record, "the run's outcome")
    took_part = [len(one.contributed) for one in outcome.rounds]
    if outcome.status != "finished" or took_part != [sites] * rounds:
        raise JobError(f"the run is no measurement: {outcome.status}, {outcome.reason}; took part: {took_part}")
    seconds = [round(one.seconds, 1) for one in outcome.rounds]
    return {"peak_mib": peak.mib, "torch_loaded": peak.torch, "round_seconds": seconds}


@contextmanager
def _running(consortium: Consortium) -> Iterator[RunningConsortium]:
    """Starts the server and then the sites a few at a time, so that none misses its heartbeats."""
    running = start_consortium(consortium.workspace, sites=())
    try:
        names = list(consortium.sites)
        for first in range(0, len(names), _BATCH):
            batch = names[first : first + _BATCH]
            for name in batch:
                running.start(name)
            running.wait_until_registered(batch)
        yield running
    finally:
        running.stop_all()


@contextmanager
def _watched(server: psutil.Process | None) -> Iterator[Peak]:
    peak, ended = Peak(), threading.Event()
    thread = threading.Thread(target=_watch, args=(server, peak, ended))
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _watch(server: psutil.Process | None, peak: Peak, ended: threading.Event) -> None:
    while server is not None and not ended.is_set():
        for child in server.children(recursive=True):
            _look(child, peak)
        time.sleep(0.1)


def _look(process: psutil.Process, peak: Peak) -> None:
    """Reads the kernel's own high-water mark, so that nothing between two looks is missed."""
    try:
        if not any(_JOB_PROCESS in word for word in process.cmdline()):
            return
        folder = Path("/proc") / str(process.pid)
        found = _PEAK.search((folder / "status").read_text())
        peak.mib = max(peak.mib, int(found.group(1)) / 1024 if found else 0.0)
        peak.torch = peak.torch or "libtorch" in (folder / "maps").read_text()
    except (psutil.Error, OSError):
        return
