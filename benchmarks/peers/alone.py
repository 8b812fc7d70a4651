"""Runs one system alone in a network and a process namespace, and samples what it uses.

In the namespace there is a loopback device and nothing else, so that whatever the device carries is the system's, and
nothing can be reached outside. The first process there is this module: every other process in sight is the system's,
and all of them end with it.

    python -m benchmarks.peers.alone SAMPLES COMMAND...        # inside the namespace; `run_alone` calls it
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from benchmarks.peers.lines import PREFIX, SERVER
from benchmarks.peers.machines import SERVER_NAME
from benchmarks.peers.usage import Sample, Usage
from fedvoxel.errors import JobError
from fedvoxel.records.atomic import write_json, write_text

INTERVAL_S = 0.5


def why_not() -> str:
    """Returns why systems cannot be run alone here; empty when they can."""
    missing = [name for name in ("unshare", "ip") if not shutil.which(name)]
    if missing:
        return f"namespaces need the commands {', '.join(missing)} (Debian packages util-linux and iproute2)"
    tried = subprocess.run([*_namespace(), "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "this machine does not let you make namespaces; run as root"


def run_alone(command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout_s: float) -> Usage:
    """Runs a command in namespaces of its own until it ends; its output goes to `log.txt` in `folder`.

    Raises:
        JobError: It failed, or did not end in time.
    """
    samples = folder / "samples.json"
    samples.unlink(missing_ok=True)
    inside = [sys.executable, "-m", "benchmarks.peers.alone", str(samples), *command]
    with (folder / "log.txt").open("w") as log:
        try:
            done = subprocess.run(
                [*_namespace(), *inside],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise JobError(f"did not end within {timeout_s:.0f} s") from None
    if done.returncode != 0 or not samples.is_file():
        raise JobError(_complaint(folder / "log.txt") or f"ended with exit code {done.returncode}")
    return Usage([Sample(*one) for one in json.loads(samples.read_text())])


def _namespace() -> list[str]:
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *rights, "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]


def _complaint(log: Path) -> str:
    """Returns the log's last line that tells of an error, without folders and cut short: it goes into the page."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    telling = [line for line in lines if "error" in line.lower()]
    return re.sub(r"/\S*/", "", telling[-1].strip())[:300] if telling else ""


def _watch(samples_file: Path, command: Sequence[str]) -> int:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    _know_the_server(samples_file.with_name("hosts"))
    samples, meter = [], _Meter()
    with subprocess.Popen(command) as system:
        while system.poll() is None:
            samples.append((time.time(), *_carried_bytes(), *meter.read()))
            time.sleep(INTERVAL_S)
    write_json(samples_file, samples)
    return system.returncode


def _know_the_server(hosts: Path) -> None:
    """Has the server's name lead to its address, for the processes of this namespace only."""
    write_text(hosts, f"127.0.0.1 localhost\n{SERVER} {SERVER_NAME}\n")
    subprocess.run(["mount", "--bind", str(hosts), "/etc/hosts"], check=True)


def _carried_bytes() -> tuple[int, int]:
    """Returns the bytes that the loopback device and the hospitals' lines have carried."""
    devices = psutil.net_io_counters(pernic=True)
    lines = [one.bytes_sent + one.bytes_recv for name, one in devices.items() if name.startswith(PREFIX)]
    return devices["lo"].bytes_sent, sum(lines)


class _Meter:
    """Adds up what all processes in sight but this one use; remembers what ended ones have used."""

    def __init__(self) -> None:
        self._cpu_s: dict[tuple[int, float], float] = {}

    def read(self) -> tuple[float, float, int]:
        """Returns the system's and the machine's processor time in s, and the system's memory in bytes."""
        memory = 0
        for process in psutil.process_iter():
            if process.pid != os.getpid():
                memory += _pss_bytes(process.pid)
                with contextlib.suppress(psutil.NoSuchProcess):
                    spent = process.cpu_times()
                    self._cpu_s[process.pid, process.create_time()] = spent.user + spent.system
        machine = psutil.cpu_times()
        return sum(self._cpu_s.values()), machine.user + machine.nice + machine.system, memory


def _pss_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(_watch(Path(sys.argv[1]), sys.argv[2:]))
