"""Lets one fault happen at its step and takes away what a fault of its kind would not leave behind."""

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.chaos.machines import Machines
from benchmarks.chaos.plan import Fault
from benchmarks.chaos.steps import BY_NAME
from benchmarks.chaos.waiting import wait_until
from tests.system.network import Line

REACHED_WITHIN_S = 120.0
"""So long a step may take to be passed; then the fault has not been tried."""

_FAMILIES = {
    "trainer": ("trainer",),
    "site_job": ("site_job",),
    "site_parent": ("site_parent",),
    "site": ("site_parent", "site_job"),
    "server_job": ("server_job",),
    "server_parent": ("server_parent",),
    "server": ("server_parent", "server_job"),
}
_ACTIONS = {"duplicate": "twice", "replay": "again"}
OUTAGE_S = 3.0
"""How long a machine without power stays off."""

LASTS_S = 8.0
"""How long a bad line, a wrong clock and a full disk last: longer than a round."""

_FILES_OF_A_ROUND = 6

_BEGIN: dict[str, Callable[[Machines, str, str], None]] = {
    "power": lambda machines, machine, value: machines.power_off(machine),
    "line": lambda machines, machine, value: machines.relay(machine, Line(0, float(value), 0.02)),
    "rate": lambda machines, machine, value: machines.slow(machine, float(value)),
    "clock": lambda machines, machine, value: machines.set_clock(machine, int(value)),
    "disk_full": lambda machines, machine, value: machines.fill(machine),
}
_END: dict[str, Callable[[Machines, str], None]] = {
    "line": lambda machines, machine: machines.relay(machine, Line(0, 0.0)),
    "rate": lambda machines, machine: machines.unslow(machine),
    "clock": lambda machines, machine: machines.set_clock(machine, 0),
    "disk_full": lambda machines, machine: machines.free(machine),
}


@contextmanager
def stopped_at(
    machines: Machines, number: int, fault: Fault, patience: float, over: Callable[[], bool]
) -> Iterator[bool]:
    """Stops the process that passes the fault's step next, for the body; yields whether it was passed at all.

    Args:
        machines: Where.
        number: The fault's number in the campaign.
        fault: Which.
        patience: How much longer than usual it may take.
        over: Says that nobody will pass it any more.
    """
    armed = machines.chaos / "armed.json"
    task = "train" if fault.step.startswith("site_job.") and fault.step.endswith(("fetched", "answers")) else ""
    asked = {
        "id": number,
        "step": fault.step,
        "machine": fault.at,
        "action": _ACTIONS.get(fault.kind, ""),
        "task": task,
        "skip": _skipped(fault),
    }
    scratch = armed.with_suffix(".new")
    scratch.write_text(json.dumps(asked))
    scratch.rename(armed)
    try:
        stopped = machines.chaos / f"stopped-{number}"
        wait_until(lambda: stopped.exists() or over(), REACHED_WITHIN_S * patience)
        yield stopped.exists()
    finally:
        armed.unlink(missing_ok=True)
        (machines.chaos / f"go-{number}").touch()


def _skipped(fault: Fault) -> int:
    """Returns how often the step is passed before: so each of a process's files has its turn."""
    each_file = not BY_NAME[fault.step].told
    return random.Random(f"{fault.job}.{fault.number}").randrange(_FILES_OF_A_ROUND) if each_file else 0


def strike(machines: Machines, fault: Fault, run_key: str) -> "Aftermath":
    """Does what the fault is, while its step stands still; returns what is left to undo later."""
    aftermath, machine = Aftermath(machines, fault), fault.machine
    if fault.kind in ("kill", "both"):
        _kill(machines, fault)
    if fault.kind in ("partition", "both"):
        machines.cut(machine)
    if fault.kind == "corrupt":
        aftermath.saved = _corrupt(machines, fault, run_key)
        _kill_all(machines, machine)
    if fault.kind in _BEGIN:
        _BEGIN[fault.kind](machines, machine, fault.value)
    return aftermath


def _kill_all(machines: Machines, machine: str) -> None:
    for process in machines.processes(machine, *_FAMILIES["server" if machine == "server" else "site"], "trainer"):
        with suppress(psutil.Error):
            process.kill()


class Aftermath:
    """Is what a fault has left: a cut line, a full disk, a changed file."""

    def __init__(self, machines: Machines, fault: Fault) -> None:
        self._machines, self._fault = machines, fault
        self.saved: tuple[Path, bytes] | None = None

    def pass_by(self) -> None:
        """Lets the fault last as long as it lasts, and ends it; a file of the state stays changed, see `restore`."""
        fault, machines = self._fault, self._machines
        if fault.kind == "power":
            time.sleep(OUTAGE_S)
            machines.boot(fault.machine)
        elif fault.kind in ("partition", "both"):
            time.sleep(float(fault.value) if fault.kind == "partition" else 6.0)
            machines.mend(fault.machine)
        elif fault.kind == "corrupt" and not fault.value.startswith("state/"):
            # A damaged kit refuses to start until it is put back from where it is kept: that nobody can do without.
            time.sleep(LASTS_S)
            self.restore()
        elif fault.kind in _END:
            time.sleep(LASTS_S)
            _END[fault.kind](machines, fault.machine)

    def restore(self) -> None:
        """Puts back the file that was changed: what a person does from a backup, after what is judged."""
        if self.saved:
            path, content = self.saved
            if path.is_file() and path.read_bytes() == _changed(content):
                path.write_bytes(content)


def _kill(machines: Machines, fault: Fault) -> None:
    whose = fault.value
    machine = "server" if whose.startswith("server") else fault.machine
    for process in machines.processes(machine, *_FAMILIES[whose]):
        with suppress(psutil.Error):
            process.kill()


def _corrupt(machines: Machines, fault: Fault, run_key: str) -> tuple[Path, bytes] | None:
    """Changes one byte in the middle of a file, and returns the file with what was in it."""
    kit = machines.kit(fault.machine)
    chance = random.Random(f"{fault.job}.{fault.number}")
    files = sorted(path for path in kit.glob(fault.value.format(run=run_key)) if path.is_file() and path.stat().st_size)
    if not files:
        return None
    path = chance.choice(files)
    content = path.read_bytes()
    path.write_bytes(_changed(content))
    return path, content


def _changed(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 0x15]) + content[place + 1 :]
