"""Runs a whole consortium on this machine, for development, tests and the quickstart.

Server and sites are started from their kits exactly as a hospital would start them, each in a process of its own.
Their numbers are kept in the workspace, so that another command can stop them. Nothing is ended by name, and nothing
is left running.
"""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ConsortiumError
from fedvoxel.flare.kit_process import (
    KitProcess,
    interrupted_by_signals,
    last_complaint,
    processes_of,
    start_kit,
)
from fedvoxel.flare.process_family import end_family
from fedvoxel.governance.consortium import Consortium, load_consortium
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.surroundings import port_is_free
from fedvoxel.records.atomic import write_json

RECORD = "running.json"
CONSOLE = "console.log"
START_TIMEOUT_S = 90.0

_JOINED = re.compile(r"ClientManager.*Client: New client (\S+?)@")


class _Started(FrozenModel):
    name: str
    pid: int
    started: float


class _Running(FrozenModel):
    schema_version: Literal[1] = 1
    processes: tuple[_Started, ...]


@dataclass
class RunningConsortium:
    """Is a consortium whose server and sites run on this machine.

    Attributes:
        consortium: Whose kit is where.
        processes: The running processes by participant.
    """

    consortium: Consortium
    processes: dict[str, KitProcess]
    _children: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Starts one participant's kit; its output goes to `console.log` in the kit.

        Raises:
            ConsortiumError: It already runs, or takes no part.
        """
        kit = open_kit(self.consortium.kit(name))
        with open(kit.folder / CONSOLE, "w", encoding="utf-8", opener=_owners_own) as console:
            child = start_kit(kit, console)
        self._children[name] = child
        self.processes[name] = KitProcess(name, child.pid, float(psutil.Process(child.pid).create_time()))
        self._record()

    def stop(self, name: str, abruptly: bool = False) -> None:
        """Ends one participant with all that it started; `abruptly` as a power cut would."""
        running = self.processes.pop(name, None)
        if running:
            end_family(self._family_of(running), grace_s=0 if abruptly else 5.0)
        self._reap(name)
        self._record()

    def wait_until_registered(self, sites: Iterable[str], timeout_s: float = START_TIMEOUT_S) -> None:
        """Waits until the server has accepted all of `sites`.

        Raises:
            ConsortiumError: One ended, or the time is over; the message names who is missing and what they last
                complained of.
        """
        wanted, deadline = set(sites), time.monotonic() + timeout_s
        while wanted - self.registered():
            ended = [name for name, running in self.processes.items() if running.process() is None]
            if ended or time.monotonic() > deadline:
                raise ConsortiumError(self._trouble(ended, wanted - self.registered(), timeout_s))
            time.sleep(0.1)

    def registered(self) -> set[str]:
        """Returns the sites that the server has accepted since it was started."""
        console = self.consortium.server_kit / CONSOLE
        return (
            set(_JOINED.findall(console.read_text(encoding="utf-8", errors="replace"))) if console.is_file() else set()
        )

    def alive(self) -> dict[str, bool]:
        """Returns for each started participant whether its process still runs."""
        return {name: running.process() is not None for name, running in self.processes.items()}

    def stop_all(self) -> list[str]:
        """Ends everything that was started, the sites before the server, and returns their names."""
        names = list(self.processes)
        end_family([process for running in reversed(self.processes.values()) for process in self._family_of(running)])
        for name in names:
            self._reap(name)
        self.processes.clear()
        (self.consortium.workspace / RECORD).unlink(missing_ok=True)
        return names

    def _family_of(self, running: KitProcess) -> list[psutil.Process]:
        """Returns the participant's process while it runs, and job processes that were orphaned when it was killed."""
        own = running.process()
        return [*([own] if own else []), *processes_of(self.consortium.kit(running.name))]

    def _reap(self, name: str) -> None:
        child = self._children.pop(name, None)
        if child:
            child.wait()

    def _record(self) -> None:
        rows = [_Started(name=p.name, pid=p.pid, started=p.started) for p in self.processes.values()]
        write_json(self.consortium.workspace / RECORD, _Running(processes=tuple(rows)).model_dump(mode="json"))

    def _trouble(self, ended: list[str], missing: set[str], timeout_s: float) -> str:
        who = ", ".join(ended or sorted(missing))
        what = "ended while starting" if ended else f"did not register within {timeout_s:.0f} s"
        log = self.consortium.kit((ended or sorted(missing))[0]) / CONSOLE
        complaint = last_complaint(log)
        return f"{who} {what}" + (f": {complaint}" if complaint else "") + f"; see {log}"


def start_consortium(
    workspace: Path,
    sites: Iterable[str] | None = None,
    timeout_s: float = START_TIMEOUT_S,
    progress: Callable[[int, int], None] | None = None,
) -> RunningConsortium:
    """Starts the server and the sites of a workspace and waits until all have registered.

    Args:
        workspace: A folder that `create_consortium` filled.
        sites: Which sites to start; all when None.
        timeout_s: How long they may take.
        progress: Told (started, all) as they are started.

    Raises:
        ConsortiumError: The consortium already runs, its port is taken, or someone did not come up; nothing is left
            running then.
    """
    consortium = load_consortium(workspace)
    chosen = tuple(sites) if sites is not None else consortium.sites
    _check_idle(consortium)
    running = RunningConsortium(consortium, {})
    names = (consortium.record.server, *consortium.record.relays, *chosen)
    try:
        for number, name in enumerate(names, start=1):
            running.start(name)
            if progress:
                progress(number, len(names))
        running.wait_until_registered(chosen, timeout_s)
    except BaseException:
        running.stop_all()
        raise
    return running


def _check_idle(consortium: Consortium) -> None:
    if any(_recorded(consortium).alive().values()):
        raise ConsortiumError(
            f"the consortium in {consortium.workspace} is already running; stop it with: fedvoxel consortium stop"
        )
    address = open_kit(consortium.server_kit).server
    if not port_is_free(address):
        raise ConsortiumError(
            f"port {address.port} on {address.host} is in use by another program; "
            "stop that program, or create the kits again with another --port"
        )


def stop_consortium(workspace: Path) -> list[str]:
    """Stops what `start_consortium` started in `workspace`, from any process; returns the names that still ran."""
    running = _recorded(load_consortium(workspace))
    still = [name for name, alive in running.alive().items() if alive]
    running.stop_all()
    return still


@contextmanager
def running_consortium(
    workspace: Path, sites: Iterable[str] | None = None, timeout_s: float = START_TIMEOUT_S
) -> Iterator[RunningConsortium]:
    """Starts a consortium, hands it over, and stops it whatever happens; see `start_consortium`."""
    with interrupted_by_signals():
        running = start_consortium(workspace, sites, timeout_s)
        try:
            yield running
        finally:
            running.stop_all()


def _owners_own(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _recorded(consortium: Consortium) -> RunningConsortium:
    """Returns what the workspace's record says was started."""
    path = consortium.workspace / RECORD
    if not path.is_file():
        return RunningConsortium(consortium, {})
    rows = load_json_config(_Running, path, "the record of running processes").processes
    processes = {row.name: KitProcess(row.name, row.pid, row.started) for row in rows}
    return RunningConsortium(consortium, processes)
