"""Machines of their own for a server and hospitals: network namespaces on one bridge, with names of their own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

NETWORK = "10.87.41"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Line:
    """Is what a machine's line can do: rate in both directions alike, round-trip time, and share of lost segments."""

    mbit: float
    rtt_ms: float
    loss: float = 0.0


def why_not() -> str:
    """Returns why network namespaces cannot be made here; empty when they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    return "" if shutil.which("ip") else "network namespaces need the ip command (Debian package iproute2)"


@dataclass
class Network:
    """Is a bridge with one namespace for each machine; `hosts` is the only name service that they have."""

    folder: Path
    addresses: dict[str, str] = field(default_factory=dict)
    number: int = field(default_factory=partial(next, count()))
    """Tells this network from others of the same process."""

    @property
    def _bridge(self) -> str:
        return f"fv{os.getpid() % 100000}n{self.number}"

    def _namespace(self, machine: str) -> str:
        return f"fv{os.getpid()}n{self.number}-{machine}"

    def open(self, machines: Sequence[str]) -> None:
        """Makes the bridge and a namespace for each machine, connected and up."""
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("link", "set", self._bridge, "up")
        for number, machine in enumerate(machines):
            namespace, cable = self._namespace(machine), f"{self._bridge}.{number}"
            address = f"{NETWORK}.{10 + number}"
            _ip("netns", "add", namespace)
            self.addresses[machine] = address
            _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            _ip("link", "set", cable, "master", self._bridge, "up")
            for words in (
                ["addr", "add", f"{address}/24", "dev", "eth0"],
                ["link", "set", "eth0", "up"],
                ["link", "set", "lo", "up"],
            ):
                _ip("-n", namespace, *words)

    def close(self) -> None:
        """Removes everything that `open` made."""
        for machine in self.addresses:
            _ip("netns", "del", self._namespace(machine))
        subprocess.run(["ip", "link", "del", self._bridge], check=False)

    def know(self, names: Mapping[str, str], machine: str = "") -> None:
        """Makes every machine, or one, resolve `names` (name to address) and nothing else."""
        lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in names.items())]
        (self.folder / f"hosts{machine}").write_text("\n".join(lines) + "\n")

    def cable(self, machine: str) -> str:
        """Returns the device at which a machine's line ends, outside the machine."""
        return f"{self._bridge}.{list(self.addresses).index(machine)}"

    def thin(self, machine: str, line: Line, name: str, server: str, port: int) -> subprocess.Popen[bytes]:
        """Gives a machine a thin line, on which `name` is reached through a relay that delays; returns the relay.

        The rate is that of the machine's cable, in both directions; the relay is on the machine, at the cable's end.
        """
        bucket = ["root", "tbf", "rate", f"{line.mbit}mbit", "burst", "16kb", "latency", "200ms"]
        cable = self.cable(machine)
        _run("tc", "qdisc", "add", "dev", cable, *bucket)
        _run("tc", "-n", self._namespace(machine), "qdisc", "add", "dev", "eth0", *bucket)
        words = [sys.executable, "-m", "tests.system.relay", str(port), self.addresses[server], str(port)]
        words += ["--rtt-ms", str(line.rtt_ms), "--loss", str(line.loss)]
        relay = subprocess.Popen(self.command(machine, words), env=environment(), cwd=ROOT, start_new_session=True)
        self.know({name: "127.0.0.1"}, machine)
        return relay

    def command(self, machine: str, words: Sequence[str | Path]) -> list[str]:
        """Returns the command that runs `words` on `machine`; the first word `fedvoxel` is this interpreter's."""
        given = [str(word) for word in words]
        if given[0] == "fedvoxel":
            given = [sys.executable, "-m", "fedvoxel.cli.main", *given[1:]]
        # ip gives the command a mount namespace of its own: the bind mount is seen by nobody else.
        own = self.folder / f"hosts{machine}"
        hosts = own if own.is_file() else self.folder / "hosts"
        names = f'mount --bind "{hosts}" /etc/hosts && exec "$@"'
        return ["ip", "netns", "exec", self._namespace(machine), "sh", "-c", names, "sh", *given]

    def run(self, machine: str, words: Sequence[str | Path], timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """Runs a command on a machine and returns what it said."""
        return subprocess.run(
            self.command(machine, words),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=environment(),
        )


def environment() -> dict[str, str]:
    """Returns this process's environment with the package importable in children."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "app_custom")}


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)
