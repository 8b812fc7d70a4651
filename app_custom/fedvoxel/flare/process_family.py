"""Ends processes with all that they have started: FLARE's jobs, and their trainers, have sessions of their own."""

import time
from collections.abc import Iterable

import psutil

GRACE_S = 5.0
"""How long processes are given to end by themselves, and to be gone once they were killed."""


def family(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Returns the processes and all that descend from them: jobs and trainers have sessions of their own."""
    found: dict[int, psutil.Process] = {}
    for process in processes:
        try:
            members = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        found.update({member.pid: member for member in members})
    return list(found.values())


def end_family(processes: Iterable[psutil.Process], grace_s: float = GRACE_S) -> None:
    """Ends the processes and their descendants: politely, then by force after `grace_s` seconds."""
    members = family(processes)
    if grace_s > 0:
        _signal(members, force=False)
        members = _wait(members, grace_s)
    _signal(members, force=True)
    _wait(members, GRACE_S)


def _signal(processes: list[psutil.Process], force: bool) -> None:
    for process in processes:
        try:
            process.kill() if force else process.terminate()
        except psutil.NoSuchProcess:
            continue


def _wait(processes: list[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    deadline = time.monotonic() + timeout_s
    while processes and time.monotonic() < deadline:
        _, processes = psutil.wait_procs(processes, timeout=0.1)
    return processes
