"""One system's process: it takes a step when asked, and says what that took."""

import re
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.dp_step.steps import Step, build
from benchmarks.parts import Values


def serve(connection: Connection, system: str, network: str, patients: int, at_once: int) -> None:
    """Builds one system's step and takes it whenever the connection brings something but None."""
    warnings.filterwarnings("ignore")
    take_step = _failing(lambda: build(system, network, patients, at_once))
    idle_mib = _memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew
    while connection.recv() is not None:
        connection.send(_timed(take_step, idle_mib))


def _timed(take_step: Step, idle_mib: float) -> Values:
    started_s, processor_s = time.perf_counter(), time.process_time()
    try:
        take_step()
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:90]}".replace("|", "/")}
    seconds = {"seconds": time.process_time() - processor_s, "wall_s": time.perf_counter() - started_s}
    return seconds | {"mib": _memory_mib("VmHWM") - idle_mib}


def _failing(build: Callable[[], Step]) -> Step:
    """Builds a step; what cannot even be built is a step that fails."""
    try:
        return build()
    except Exception as error:
        failure = error

    def fail() -> None:
        raise failure

    return fail


def _memory_mib(key: str) -> float:
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found.group(1)) / 1024 if found else 0.0
