"""Runs one kit's FLARE process: which command, in which environment, and how it ends with everything it started.

FLARE's own start script waits five seconds, trusts a process number in a file that may be stale, and uses whatever
`python3` is on the path. Here the interpreter is the one that runs FedVoxel, and a file lock says whether a kit
already runs.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

import psutil

from fedvoxel.errors import ConsortiumError
from fedvoxel.flare.kit_making import child_environment
from fedvoxel.flare.process_family import GRACE_S, end_family
from fedvoxel.governance.kit import STARTUP_FILES, Kit
from fedvoxel.governance.kit_lock import lock_kit
from fedvoxel.governance.local_policy import HEARTBEAT_INTERVAL_S

_MODULES = {
    "server": "nvflare.private.fed.app.server.server_train",
    "relay": "nvflare.private.fed.app.relay.relay",
    "site": "nvflare.private.fed.app.client.client_train",
}
_STALE_FILES = ("pid.fl", "shutdown.fl", "restart.fl", "daemon_pid.fl")


def kit_command(kit: Kit) -> list[str]:
    """Returns the command that FLARE's own start script would run for a server's or site's kit.

    Raises:
        ConsortiumError: The kit is a person's, or lies where FLARE cannot start jobs.
    """
    if kit.kind == "person":
        raise ConsortiumError(f"kit {kit.name} is a person's: it logs in with startup/fl_admin.sh, it is not started")
    if any(character.isspace() for character in str(kit.folder)):
        raise ConsortiumError(
            f"kit {kit.name} lies in a folder with a space in its path, which FLARE cannot start jobs in"
        )
    owner = [] if kit.kind == "server" else [f"uid={kit.name}", f"heart_beat_interval={HEARTBEAT_INTERVAL_S}"]
    settings = ["secure_train=true", *owner, f"org={kit.organisation}", "config_folder=config"]
    program = [sys.executable, "-u", "-m", _MODULES[kit.kind]]
    return [*program, "-m", str(kit.folder), "-s", STARTUP_FILES[kit.kind], "--set", *settings]


def kit_environment(kit: Kit) -> dict[str, str]:
    """Returns the environment for the kit's process: this one's, and on top the lines of its `local/environment`.

    Raises:
        ConsortiumError: A line is not KEY=VALUE.
    """
    path = kit.local / "environment"
    extra = {"MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "4")}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        if not line.strip() or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if not separator or not key.isidentifier():
            raise ConsortiumError(
                f"kit {kit.name}: local/environment has a line that is not KEY=VALUE; correct or remove it"
            )
        extra[key] = value
    return child_environment(extra)


@dataclass(frozen=True)
class KitProcess:
    """Is a running FLARE process, told apart from a later one with the same number by when it started."""

    name: str
    pid: int
    started: float

    def process(self) -> psutil.Process | None:
        """Returns the process while it runs, and None once it has ended."""
        try:
            process = psutil.Process(self.pid)
            alive = process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


def start_kit(kit: Kit, console: IO[str] | None = None) -> subprocess.Popen[str]:
    """Starts the kit's process in a session of its own and returns it.

    Args:
        kit: A server's or site's kit.
        console: Where its output goes; this process's own when None.

    Raises:
        ConsortiumError: The kit already runs.
    """
    command, environment = kit_command(kit), kit_environment(kit)
    lock = lock_without_orphans(kit)
    try:
        for name in _STALE_FILES:
            (kit.folder / name).unlink(missing_ok=True)
        (kit.folder / "transfer").mkdir(mode=0o700, exist_ok=True)
        return subprocess.Popen(
            command,
            cwd=kit.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT if console else None,
            start_new_session=True,
            umask=0o077,  # FLARE makes its files without a mode, in all processes that this one starts
            pass_fds=(lock,),
            text=True,
        )
    finally:
        os.close(lock)


def run_kit(kit: Kit) -> int:
    """Runs the kit in the foreground until it ends or this process is told to stop, and returns its exit code.

    Starts it again when an administrator asked for that through the console. Nothing that it started outlives this
    call.

    Raises:
        ConsortiumError: The kit already runs.
    """
    with interrupted_by_signals():
        while True:
            code = run_once(kit)
            if not (kit.folder / "restart.fl").exists():
                return code


def run_once(kit: Kit) -> int:
    """Runs the kit's process until it ends, and returns its exit code; see `run_kit`."""
    child = start_kit(kit)
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            end_family([psutil.Process(child.pid)])
            child.wait()


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Has a request to end this process, or its terminal's closing, interrupt it as Ctrl-C does.

    What it started can then be ended before it ends itself; without this, all of that would live on. Does nothing
    outside the main thread, which alone receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def processes_of(folder: Path) -> list[psutil.Process]:
    """Returns the FLARE processes that run from the kit in `folder`: its own and its jobs', orphaned ones included."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(folder) in words and any(word.startswith("nvflare.private.") for word in words):
            found.append(process)
    return found


def lock_without_orphans(kit: Kit) -> int:
    """Returns the kit's lock, after ending job processes that outlived a killed kit, which hold it.

    One that is dying already holds it a little longer, and has no command line any more by which it could be known.

    Raises:
        ConsortiumError: The kit runs, or somebody else holds its lock.
    """
    deadline = time.monotonic() + GRACE_S
    while True:
        try:
            return lock_kit(kit)
        except ConsortiumError:
            processes = processes_of(kit.folder)
            own = [str(one.pid) for one in processes if _MODULES[kit.kind] in one.info["cmdline"]]
            if own:
                # Its supervisor may have been killed: then nothing starts it again, and nobody else names it.
                raise ConsortiumError(
                    f"kit {kit.name} is already running, as process {' '.join(own)}; if nothing looks after that "
                    f"process any more, end it (kill {' '.join(own)}), and try again"
                ) from None
            if time.monotonic() > deadline:
                raise
            end_family(processes)
            time.sleep(0.1)


def last_complaint(log: Path) -> str:
    """Returns the last line of a log that tells of an error, for a message; empty when there is none."""
    if not log.is_file():
        return ""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    telling = [line for line in lines if " - ERROR - " in line or "Error:" in line]
    return telling[-1].strip()[:300] if telling else ""
