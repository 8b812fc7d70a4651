"""Gives every hospital a machine of its own: a network namespace, and a line to the server that counts its bytes.

The server and the submitter stay in the namespace that the system runs in; each hospital's line ends there in a device
of the hospital's name, and the loopback device there carries what never leaves the server's machine.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

SERVER = "10.87.42.1"
"""The server's address on all lines."""

PREFIX = "line"
"""What the devices of hospitals' lines begin with at the server's end."""

_BRIDGE = "bridge0"
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET of <linux/sched.h>


class Lines:
    """Holds a namespace for each hospital; they live as long as the idle process in each."""

    def __init__(self, sites: Sequence[str]) -> None:
        """Makes the namespaces and connects them."""
        self._holders: dict[str, int] = {}
        _ip("link", "add", _BRIDGE, "type", "bridge")
        _ip("addr", "add", f"{SERVER}/24", "dev", _BRIDGE)
        _ip("link", "set", _BRIDGE, "up")
        for number, site in enumerate(sites):
            self._add(site, number)

    @contextlib.contextmanager
    def at(self, site: str) -> Iterator[None]:
        """Has processes that this thread starts meanwhile run on the hospital's machine."""
        with _network_of("thread-self") as ours, _network_of(str(self._holders[site])) as theirs:
            _enter(theirs)
            try:
                yield
            finally:
                _enter(ours)

    def _add(self, site: str, number: int) -> None:
        ready, told = os.pipe()
        command = ["unshare", "--net", "sh", "-c", f"echo >&{told}; exec sleep infinity"]
        self._holders[site] = subprocess.Popen(command, pass_fds=[told]).pid
        os.read(ready, 1)
        os.close(ready)
        os.close(told)
        device = f"{PREFIX}{number}"
        _ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", str(self._holders[site]))
        _ip("link", "set", device, "master", _BRIDGE, "up")
        with self.at(site):
            _ip("link", "set", "lo", "up")
            _ip("addr", "add", f"{SERVER.rsplit('.', 1)[0]}.{10 + number}/24", "dev", "eth0")
            _ip("link", "set", "eth0", "up")


@contextlib.contextmanager
def _network_of(process: str) -> Iterator[int]:
    descriptor = os.open(Path("/proc") / process / "ns" / "net", os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(network: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(network, _NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "could not enter a network namespace")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
