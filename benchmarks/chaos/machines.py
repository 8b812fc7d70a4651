"""The machines under test: a server and hospitals, each with an address, a cable, a small disk, a clock and an init.

Network and lines are those of tests/system. A machine's disk is a tmpfs that holds its kit. Its clock is wrong by what
a file says (`clock.c`), so that it can jump while processes run. Its init starts the kit again a second after it has
ended, as the systemd unit does (`Restart=always`).
"""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks import ROOT
from benchmarks.chaos.steps import kind_in
from tests.system.network import Line, Network

SERVER = "server"
SERVER_NAME = "fl.consortium.example"
SCIENTIST = "scientist@consortium.example"
PORT = 8002
DISK_MB = 2500
"""A kit does not start with less than 2 GiB free; a tmpfs takes memory for what is written only."""

BOOTED_WITHIN_S = 400.0
INSIDE = ROOT / "benchmarks" / "chaos" / "inside"

_INIT = 'while :; do "$@"; sleep 1; done'


def why_not() -> str:
    """Returns why these machines cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "network namespaces, tmpfs and tc need root"
    missing = [tool for tool in ("ip", "tc", "mount", "gcc") if not shutil.which(tool)]
    return f"missing: {', '.join(missing)}" if missing else ""


@dataclass
class Machines:
    """Is a server and its hospitals on machines of their own."""

    folder: Path
    sites: tuple[str, ...]
    network: Network
    chaos: Path
    sabotage: str = ""
    _inits: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _relays: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Are the machines that have a kit which runs."""
        return (SERVER, *self.sites)

    def kit(self, machine: str) -> Path:
        """Returns the kit on a machine's disk."""
        return self.disk(machine) / (SERVER_NAME if machine == SERVER else machine)

    def disk(self, machine: str) -> Path:
        """Returns where a machine's disk is mounted."""
        return self.folder / "disks" / machine

    def console(self, machine: str) -> Path:
        """Returns what a machine's kit has said, kept outside its disk."""
        return self.folder / f"console-{machine}.log"

    def boot(self, machine: str) -> None:
        """Starts a machine's init."""
        command = self.network.command(machine, ["sh", "-c", _INIT, "init", *self._service(machine)])
        with self.console(machine).open("ab") as console:
            self._inits[machine] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env=self._environment(machine),
                start_new_session=True,
                cwd=self.folder,
            )

    def power_off(self, machine: str) -> None:
        """Ends everything on a machine at once."""
        init = self._inits.pop(machine, None)
        if init:
            init.kill()
            init.wait()
        for process in self.processes(machine):
            _kill(process)

    def all_registered(self) -> bool:
        """Says whether the server has said since its console began that every site has come."""
        console = self.console(SERVER).read_text(errors="replace")
        return all(f"Client: New client {site}@" in console for site in self.sites)

    def processes(self, machine: str, *kinds: str) -> list[psutil.Process]:
        """Returns a machine's processes, or those of some kinds; a process's environment names its machine."""
        found = []
        for process in psutil.process_iter():
            if self._machine_of(process) == machine and (not kinds or kind_of(process) in kinds):
                found.append(process)
        return found

    def working(self) -> list[psutil.Process]:
        """Returns the processes that a job has, wherever they are."""
        kinds = ("server_job", "site_job", "trainer")
        return [process for machine in self.names for process in self.processes(machine, *kinds)]

    def cut(self, machine: str) -> None:
        """Takes a machine off the network."""
        _ip("link", "set", self.network.cable(machine), "down")

    def mend(self, machine: str) -> None:
        """Puts it back."""
        _ip("link", "set", self.network.cable(machine), "up")

    def slow(self, machine: str, mbit: float) -> None:
        """Limits what a machine receives to so many Mbit/s."""
        cable = self.network.cable(machine)
        shaped = ["root", "tbf", "rate", f"{mbit}mbit", "burst", "16kb", "latency", "400ms"]
        run_tool("tc", "qdisc", "replace", "dev", cable, *shaped)

    def unslow(self, machine: str) -> None:
        """Lifts the limit."""
        run_tool("tc", "qdisc", "del", "dev", self.network.cable(machine), "root")

    def relay(self, machine: str, line: Line) -> None:
        """Sends a site's traffic through a relay with this delay and loss; its connection is opened anew for that."""
        old = self._relays.pop(machine, None)
        if old:
            old.kill()
            old.wait()
        words = [sys.executable, "-m", "tests.system.relay", str(PORT), self.network.addresses[SERVER], str(PORT)]
        words += ["--rtt-ms", str(line.rtt_ms), "--loss", str(line.loss)]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'app_custom'}:{ROOT}"}
        command = self.network.command(machine, words)
        self._relays[machine] = subprocess.Popen(command, env=environment, cwd=ROOT, start_new_session=True)

    def set_clock(self, machine: str, seconds: int) -> None:
        """Puts a machine's clock forward or back against the true time."""
        clock = self._clock(machine)
        with clock.open("r+b" if clock.exists() else "wb", buffering=0) as stream:
            stream.write(struct.pack("=q", seconds))

    def fill(self, machine: str) -> None:
        """Fills a machine's disk to the last byte."""
        free = shutil.disk_usage(self.disk(machine)).free
        with suppress(OSError), self._ballast(machine).open("wb", buffering=0) as ballast:
            os.posix_fallocate(ballast.fileno(), 0, free)
            while True:
                ballast.write(bytes(4096))

    def free(self, machine: str) -> None:
        """Frees the disk again."""
        self._ballast(machine).unlink(missing_ok=True)

    def close(self) -> None:
        """Ends everything and takes everything down that `open_machines` put up."""
        for machine in self.names:
            self.power_off(machine)
        for relay in self._relays.values():
            relay.kill()
            relay.wait()
        self.network.close()
        for machine in self.names:
            subprocess.run(["umount", "-l", self.disk(machine)], check=False, capture_output=True)

    def submit(self, job: Path) -> str:
        """Submits a job from the data scientist's machine and returns its id."""
        command = ["fedvoxel", "job", "submit", job, "--kit", self.folder / "kits" / SCIENTIST, "--json"]
        said = self.network.run("scientist", command, timeout_s=180)
        if said.returncode:
            raise RuntimeError(f"the job could not be submitted: {said.stdout}{said.stderr}")
        return str(json.loads(said.stdout[said.stdout.index("{") :])["job_id"])

    def _service(self, machine: str) -> list[str]:
        words = ["server", "run"] if machine == SERVER else ["site", "start"]
        return [sys.executable, "-m", "fedvoxel.cli.main", *words, str(self.kit(machine))]

    def _environment(self, machine: str) -> dict[str, str]:
        paths = [str(INSIDE), str(ROOT / "app_custom"), str(ROOT)]
        own = {"PYTHONPATH": ":".join(paths), "FEDVOXEL_CHAOS": str(self.chaos), "FEDVOXEL_MACHINE": machine}
        own |= {"FEDVOXEL_SABOTAGE": self.sabotage}
        own |= {"HOME": str(self.folder / "homes" / machine), "OMP_NUM_THREADS": "1"}
        own |= {"LD_PRELOAD": str(self.folder / "clock.so"), "FEDVOXEL_CLOCK": str(self._clock(machine))}
        return {**os.environ, **own}

    def _clock(self, machine: str) -> Path:
        return self.folder / f"clock-{machine}"

    def _ballast(self, machine: str) -> Path:
        return self.disk(machine) / "ballast"

    def _machine_of(self, process: psutil.Process) -> str | None:
        try:
            told = process.environ()
            alive = process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            return None
        return told.get("FEDVOXEL_MACHINE") if alive and told.get("FEDVOXEL_CHAOS") == str(self.chaos) else None


def kind_of(process: psutil.Process) -> str:
    """Returns what a process of a machine does, one of `steps.PROCESSES`; an empty string when it is none of them."""
    try:
        return kind_in(" ".join(process.cmdline()))
    except psutil.Error:
        return ""


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)


def _ip(*words: str) -> None:
    run_tool("ip", *words)


def run_tool(*words: str) -> None:
    """Runs a system's tool, which has to succeed."""
    subprocess.run(words, check=True, capture_output=True, text=True)
