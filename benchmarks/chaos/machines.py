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
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks import ROOT
from fedvoxel.flare.provisioning import create_consortium
from tests.blob_job import give_blobs
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

_KINDS = {
    "server_train": "server_parent",
    "runner_process": "server_job",
    "client_train": "site_parent",
    "worker_process": "site_job",
    "fedvoxel.training.worker": "trainer",
}
"""What a process's command line has in it, by kind."""


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
        _run("tc", "qdisc", "replace", "dev", cable, *shaped)

    def unslow(self, machine: str) -> None:
        """Lifts the limit."""
        _run("tc", "qdisc", "del", "dev", self.network.cable(machine), "root")

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
        words = ["server", "run"] if machine == SERVER and find_spec("fedvoxel.cli.server") else ["site", "start"]
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
    """Returns what a process of a machine does, one of `_KINDS` or an empty string."""
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    return next((kind for module, kind in _KINDS.items() if module in words), "")


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)


@contextmanager
def open_machines(folder: Path, sites: Sequence[str], sabotage: str = "") -> Iterator[Machines]:
    """Makes kits, disks and network, boots the server and then the sites, and waits until all have registered.

    Args:
        folder: Where everything goes.
        sites: The hospitals' names.
        sabotage: Which guard is taken away, see `sabotage`; none when empty.

    Raises:
        RuntimeError: They did not within `BOOTED_WITHIN_S`.
    """
    folder = folder.resolve()
    chaos = folder / "chaos"
    chaos.mkdir(parents=True, exist_ok=True)
    network = Network(folder)
    machines = Machines(folder, tuple(sites), network, chaos, sabotage)
    source = Path(__file__).with_name("clock.c")
    _run("gcc", "-shared", "-fPIC", "-O2", "-o", str(folder / "clock.so"), str(source))
    try:
        _make_kits(machines)
        network.open([*machines.names, "scientist"])
        network.know({SERVER_NAME: network.addresses[SERVER]})
        for machine in machines.names:
            machines.set_clock(machine, 0)
            (folder / "homes" / machine).mkdir(parents=True, exist_ok=True)
        for site in machines.sites:
            network.know({SERVER_NAME: "127.0.0.1"}, site)
            machines.relay(site, Line(0, 0.0))
        machines.boot(SERVER)
        wait_until(lambda: "Server started" in machines.console(SERVER).read_text(errors="replace"), BOOTED_WITHIN_S)
        for site in machines.sites:
            machines.boot(site)
        if not wait_until(machines.all_registered, BOOTED_WITHIN_S):
            raise RuntimeError(f"the sites have not registered: {machines.console(SERVER).read_text()[-2000:]}")
        yield machines
    finally:
        machines.close()


def wait_until(condition: Callable[[], Any], timeout_s: float, poll_s: float = 0.1) -> Any:
    """Returns the first true answer; None when the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(poll_s)
    return None


def _make_kits(machines: Machines) -> None:
    """Provisions the consortium and puts each kit on its machine's disk, with a cohort of blobs."""
    folder = machines.folder
    described = yaml.safe_load((ROOT / "provisioning" / "consortium.yml").read_text(encoding="utf-8"))
    server = {"name": SERVER_NAME, "type": "server", "org": "consortium", "fed_learn_port": PORT}
    people = [one for one in described["participants"] if one.get("role") == "lead"]
    sites = [{"name": site, "type": "client", "org": site.replace("-", "_")} for site in machines.sites]
    described["participants"] = [server, *sites, *people]
    (folder / "consortium.yml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    made = create_consortium(folder / "consortium.yml", folder / "provisioned")
    shutil.copytree(made.kit(SCIENTIST), folder / "kits" / SCIENTIST, dirs_exist_ok=True)
    for machine in machines.names:
        machines.disk(machine).mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "chaos", str(machines.disk(machine)))
        shutil.copytree(made.kit(SERVER_NAME if machine == SERVER else machine), machines.kit(machine))
        if machine != SERVER:
            give_blobs(machines.kit(machine))


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
