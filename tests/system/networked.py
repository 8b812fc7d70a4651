"""A server and hospitals on machines of their own, from kits alone, by the commands of docs/operator.md."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from fedvoxel.governance.authority_store import PASSPHRASE_VARIABLE

from .network import Line, Network, environment

ROOT = Path(__file__).resolve().parents[2]
SERVER = "fl.consortium.example"
HOSPITALS = ("hospital-a", "hospital-b")
SCIENTIST = "scientist@consortium.example"
PASSPHRASE = "correct horse battery"


@dataclass
class NetworkedConsortium:
    """Is a running consortium whose members are on machines of their own; `kits` are what each machine has."""

    network: Network
    kits: dict[str, Path]
    console: dict[str, Path]


def documented(command: str, page: str = "operator.md") -> list[str]:
    """Returns a command's words once a page of docs/ has been seen to give it."""
    shown = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)
    assert command in "".join(shown).splitlines(), f"docs/{page} does not say: {command}"
    return command.split()


@contextmanager
def networked(
    folder: Path, line: Line | None = None, people: Sequence[str] = (), authority: bool = False
) -> Iterator[NetworkedConsortium]:
    """Follows docs/operator.md and docs/hospital_it.md until both hospitals have registered.

    A test may then submit a job: `network.run("scientist", [python, script])` runs on the data scientist's
    machine, and `kits[SCIENTIST]` is their kit.

    Args:
        folder: Where the kits go.
        line: The line that each hospital has of its own; None for one without limits.
        people: Whose kits are kept besides the data scientist's.
        authority: Whether the folder with everybody's keys stays, in `folder`/consortium.
    """
    network = Network(folder)
    running: list[subprocess.Popen[bytes]] = []
    try:
        network.open(["server", *HOSPITALS, "scientist"])
        network.know({SERVER: network.addresses["server"]})
        for site in HOSPITALS if line else ():
            running.append(network.thin(site, line, SERVER, "server", 8002))
        kits = _make_and_send_kits(folder, people, authority)
        console = {name: folder / f"{name}.log" for name in (SERVER, *HOSPITALS)}
        for machine, name in (("server", SERVER), *((site, site) for site in HOSPITALS)):
            running.append(_start(network, machine, kits[name], console[name]))
            if name == SERVER:
                _wait_for(console[SERVER], {"Server started"})
        _wait_for(console[SERVER], {f"Client: New client {site}@" for site in HOSPITALS})
        yield NetworkedConsortium(network, kits, console)
    finally:
        _stop(running)
        network.close()


def _make_and_send_kits(folder: Path, people: Sequence[str], authority: bool) -> dict[str, Path]:
    """Changes the shipped consortium file as the page says, makes the kits, and copies each to its owner's folder."""
    described = yaml.safe_load((ROOT / "provisioning" / "consortium.yml").read_text(encoding="utf-8"))
    line = yaml.safe_load("- {name: fl.consortium.example, type: server, org: consortium, fed_learn_port: 8002}")
    assert "- {name: fl.consortium.example, type: server" in (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    described["participants"] = line + [p for p in described["participants"] if p["type"] != "server"]
    (folder / "consortium.yml").write_text(yaml.safe_dump(described), encoding="utf-8")
    words = documented("fedvoxel consortium create consortium.yml --workspace consortium")
    passphrase = {PASSPHRASE_VARIABLE: PASSPHRASE}
    subprocess.run(_here(words), cwd=folder, check=True, capture_output=True, env=environment() | passphrase)
    made = folder / "consortium" / "fedvoxel" / "prod_00"
    owners = {name: folder / "machines" / name for name in (SERVER, *HOSPITALS, SCIENTIST, *people)}
    for name, owner in owners.items():
        shutil.copytree(made / name, owner / name)
    if not authority:
        shutil.rmtree(folder / "consortium")  # from kits alone
    return {name: owner / name for name, owner in owners.items()}


def _here(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "fedvoxel.cli.main", *words[1:]]


def _start(network: Network, machine: str, kit: Path, console: Path) -> subprocess.Popen[bytes]:
    page, shown = ("operator.md", SERVER) if machine == "server" else ("hospital_it.md", "hospital-a")
    documented(f"fedvoxel site check {shown}", page)
    start = ["server", "run"] if machine == "server" else ["site", "start"]
    documented(f"fedvoxel {' '.join(start)} {shown}", page)
    checked = network.run(machine, ["fedvoxel", "site", "check", kit])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with console.open("wb") as log:
        return subprocess.Popen(
            network.command(machine, ["fedvoxel", *start, kit]),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment(),
            start_new_session=True,
        )


def _wait_for(console: Path, sayings: set[str], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while missing := {saying for saying in sayings if saying not in console.read_text(errors="replace")}:
        assert time.monotonic() < deadline, f"not said: {missing}\n{console.read_text(errors='replace')[-3000:]}"
        time.sleep(0.1)


def _stop(running: list[subprocess.Popen[bytes]]) -> None:
    started = [process for child in running for process in psutil.Process(child.pid).children(recursive=True)]
    for child in reversed(running):
        child.terminate()
    for child in running:
        child.wait(timeout=20)
    assert not [process for process in started if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
