"""One system's process: it reads the series when asked, and says what each stage took."""

import re
import resource
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.ingest.systems import Stage, stages_of
from benchmarks.parts import Values


def serve(connection: Connection, system: str, folder: Path, small: Path) -> None:
    """Imports one system, and takes the series in whenever the connection brings something but None."""
    warnings.filterwarnings("ignore")
    stages = stages_of(system)
    _run(stages, small)  # imports what is imported late
    while connection.recv() is not None:
        connection.send(_measured(stages, folder))


def _measured(stages: list[tuple[str, Stage]], folder: Path) -> Values:
    idle_mib = _memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    children_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    seconds = _run(stages, folder)
    own_mib = _memory_mib("VmHWM") - idle_mib
    return {"seconds": seconds, "mib": max(own_mib, children_kib / 1024)}


def _run(stages: list[tuple[str, Stage]], folder: Path) -> dict[str, list[float]]:
    """Returns (wall, processor) seconds by stage."""
    seconds: dict[str, list[float]] = {}
    held = folder
    for name, stage in stages:
        wall_s, processor_s = time.perf_counter(), _processor_s()
        held = stage(held)
        took = seconds.setdefault(name, [0.0, 0.0])
        took[0] += time.perf_counter() - wall_s
        took[1] += _processor_s() - processor_s
    return seconds


def _processor_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _memory_mib(key: str) -> float:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0
