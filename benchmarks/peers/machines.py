"""FLARE's server and hospitals, each on a machine of its own: kits that dial the server by name, and their start."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.hospitals import PROJECT
from benchmarks.peers.lines import Lines
from fedvoxel.errors import JobError
from fedvoxel.flare.consortium_processes import RunningConsortium
from fedvoxel.governance.consortium import Consortium, ConsortiumRecord

SERVER_NAME = "server.consortium.example"
_OUR_BUILDERS = "fedvoxel."


def write_project(folder: Path, port: int, stock: bool = False) -> Path:
    """Writes the project's consortium file for a server that is dialled by name and listens to every machine.

    Args:
        folder: Where `project.yml` goes.
        port: The server's port.
        stock: Without the builders of ours that make kits safe: what FLARE alone makes.
    """
    described: dict[str, Any] = yaml.safe_load(PROJECT.read_text(encoding="utf-8"))
    for participant in described["participants"]:
        if participant["type"] == "server":
            del participant["default_host"], participant["bind_host"]
            participant.update(name=SERVER_NAME, fed_learn_port=port)
    if stock:
        described["builders"] = [one for one in described["builders"] if not one["path"].startswith(_OUR_BUILDERS)]
    file = folder / "project.yml"
    file.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    return file


def make_stock_consortium(folder: Path, port: int) -> Consortium:
    """Has FLARE make its own kits in `folder`.

    Raises:
        JobError: It could not.
    """
    project = write_project(folder, port, stock=True)
    command = [sys.executable, "-m", "nvflare.cli", "provision", "-p", str(project), "-w", str(folder), "--force"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    kits = folder / "fedvoxel" / "prod_00"
    if done.returncode or not kits.is_dir():
        raise JobError("nvflare provision made no kits")
    members = yaml.safe_load(project.read_text(encoding="utf-8"))["participants"]
    record = ConsortiumRecord(
        project="fedvoxel",
        file_sha256="0" * 64,
        folder=str(kits.relative_to(folder)),
        server=SERVER_NAME,
        sites=tuple(one["name"] for one in members if one["type"] == "client"),
        people={one["name"]: one["role"] for one in members if one["type"] == "admin"},
    )
    return Consortium(folder, record)


@contextmanager
def running_apart(consortium: Consortium) -> Iterator[None]:
    """Starts the server here and every hospital at the end of its line, waits until all have registered, stops all."""
    lines, running = Lines(consortium.sites), RunningConsortium(consortium, {})
    try:
        running.start(consortium.record.server)
        for site in consortium.sites:
            with lines.at(site):
                running.start(site)
        running.wait_until_registered(consortium.sites)
        yield
    finally:
        running.stop_all()
