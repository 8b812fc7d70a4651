"""Runs one long job on real processes and looks at every process and disk at equal distances in time."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chaos import oracle
from benchmarks.chaos.consortium import open_machines
from benchmarks.chaos.job import chaos_job
from benchmarks.chaos.machines import Machines, kind_of
from benchmarks.chaos.oracle import Run
from benchmarks.chaos.trace import Trace, committed_rounds
from benchmarks.chaos.waiting import wait_until
from benchmarks.soak.slope import verdict

MEMORY_LEAST_MB, MEMORY_SHARE = 8.0, 0.05
DESCRIPTORS_LEAST = 3.0
DISK_LEAST_MB = 8.0
"""What may be grown by over the measured rounds: see `slope`."""

_ROUND_LIMIT_S = 120.0

LEVEL_AFTER_S = 150.0
"""So long the memory of job processes was seen to grow, by 25 to 45 MB in 200 rounds, before it was level."""


@dataclass
class Samples:
    """Is what was seen, by process or disk, in order."""

    memory_mb: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    descriptors: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    disk_mb: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def soak(folder: Path, sites: int, rounds: int, every_s: float, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Runs a job and returns a row for each process and disk.

    Args:
        folder: Where everything goes.
        sites: How many hospitals.
        rounds: How many rounds.
        every_s: Seconds between two looks.
        say: Told of progress.

    Raises:
        RuntimeError: The run did not finish as it should.
    """
    names = [f"hospital-{chr(ord('a') + number)}" for number in range(sites)]
    with open_machines(folder, names) as machines:
        trace, samples, ended = Trace(machines.chaos / "trace.jsonl"), Samples(), threading.Event()
        job = chaos_job(folder / "jobs", "soak", rounds, sites, epochs=1)
        run = Run("soak", machines.submit(job), 0, rounds)
        watcher = threading.Thread(target=_watch, args=(machines, samples, ended, every_s))
        wait_until(lambda: committed_rounds(trace), 300)
        watcher.start()
        try:
            _wait(machines, trace, run, rounds * _ROUND_LIMIT_S, say)
        finally:
            ended.set()
            watcher.join()
        troubles = oracle.outcome_troubles(machines, trace, run) + oracle.chain_troubles(machines)
        outcome = oracle.outcome_of(machines, run)
    if troubles or outcome is None or outcome.status != "finished":
        raise RuntimeError(f"the run is no measurement: {outcome and outcome.status}; {'; '.join(troubles)}")
    if not samples.disk_mb:
        raise RuntimeError(f"the run ended within {LEVEL_AFTER_S:.0f} s, before anything was looked at: more rounds")
    return rows(samples)


def rows(samples: Samples) -> list[dict[str, Any]]:
    """Returns the verdict on each series, those that lasted the whole run."""
    found = []
    limits = {
        "memory (MB)": (samples.memory_mb, MEMORY_LEAST_MB, MEMORY_SHARE),
        "file descriptors": (samples.descriptors, DESCRIPTORS_LEAST, 0.0),
        "disk (MB)": (samples.disk_mb, DISK_LEAST_MB, 0.0),
    }
    for what, (series, least, share) in limits.items():
        longest = max(map(len, series.values()), default=0)
        for name, values in sorted(series.items()):
            if len(values) < longest / 2:
                continue
            judged = verdict(values, least, share)
            row = {"what": what, "of": name, "samples": len(values), "flat": judged.flat, "allowed": judged.allowed}
            found.append(row | {"median": judged.median, "growth": judged.growth, "most": judged.most})
    return found


def _wait(machines: Machines, trace: Trace, run: Run, limit_s: float, say: Callable[[str], None]) -> None:
    deadline, told = time.monotonic() + limit_s, 0
    while time.monotonic() < deadline:
        done = len(committed_rounds(trace))
        if done >= told + 10:
            told = done
            say(f"{done} of {run.rounds} rounds")
        if done >= run.rounds:
            break
        if oracle.job_status(machines, run.job_id).startswith(("FINISHED", "FAILED")):
            break
        time.sleep(1.0)
    wait_until(lambda: (outcome := oracle.outcome_of(machines, run)) and outcome.status != "unfinished", 120)


def _watch(machines: Machines, samples: Samples, ended: threading.Event, every_s: float) -> None:
    ended.wait(LEVEL_AFTER_S)
    while not ended.wait(every_s):
        for machine in machines.names:
            for process in machines.processes(machine):
                _look(machine, process, samples)
            samples.disk_mb[machine].append(psutil.disk_usage(str(machines.disk(machine))).used / 1e6)


def _look(machine: str, process: psutil.Process, samples: Samples) -> None:
    kind = kind_of(process)
    if not kind:
        return
    name = f"{machine} {kind}"
    try:
        memory, descriptors = process.memory_info().rss / 1e6, process.num_fds()
    except psutil.Error:
        return
    samples.memory_mb[name].append(memory)
    samples.descriptors[name].append(descriptors)
