"""A server and two hospitals on machines of their own, from kits alone, by the commands of docs/operator.md."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from fedvoxel.federation.outcome import load_outcome
from tests.blob_job import give_blobs, job_documents, write_job
from tests.system.network import Network, environment, why_not

ROOT = Path(__file__).resolve().parents[2]
SERVER = "fl.consortium.example"
HOSPITALS = ("hospital-a", "hospital-b")
SCIENTIST = "scientist@consortium.example"

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")


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


@pytest.fixture(scope="module")
def networked_consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkedConsortium]:
    """Follows docs/operator.md and docs/hospital_it.md until both hospitals have registered.

    A test may then submit a job: `network.run("scientist", [python, script])` runs on the data scientist's
    machine, and `kits[SCIENTIST]` is their kit.
    """
    folder = tmp_path_factory.mktemp("network")
    network = Network(folder)
    running: list[subprocess.Popen[bytes]] = []
    try:
        network.open(["server", *HOSPITALS, "scientist"])
        network.know({SERVER: network.addresses["server"]})
        kits = _make_and_send_kits(folder)
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


def _make_and_send_kits(folder: Path) -> dict[str, Path]:
    """Changes the shipped consortium file as the page says, makes the kits, and copies each to its owner's folder."""
    described = yaml.safe_load((ROOT / "provisioning" / "consortium.yml").read_text(encoding="utf-8"))
    line = yaml.safe_load("- {name: fl.consortium.example, type: server, org: consortium, fed_learn_port: 8002}")
    assert "- {name: fl.consortium.example, type: server" in (ROOT / "docs" / "operator.md").read_text(encoding="utf-8")
    described["participants"] = line + [p for p in described["participants"] if p["type"] != "server"]
    (folder / "consortium.yml").write_text(yaml.safe_dump(described), encoding="utf-8")
    words = documented("fedvoxel consortium create consortium.yml --workspace consortium")
    subprocess.run(_here(words), cwd=folder, check=True, capture_output=True, env=environment())
    made = folder / "consortium" / "fedvoxel" / "prod_00"
    owners = {name: folder / "machines" / name for name in (SERVER, *HOSPITALS, SCIENTIST)}
    for name, owner in owners.items():
        shutil.copytree(made / name, owner / name)
    shutil.rmtree(folder / "consortium")  # from kits alone
    return {name: owner / name for name, owner in owners.items()}


def _here(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "fedvoxel.cli.main", *words[1:]]


def _start(network: Network, machine: str, kit: Path, console: Path) -> subprocess.Popen[bytes]:
    page, shown = ("operator.md", SERVER) if machine == "server" else ("hospital_it.md", "hospital-a")
    documented(f"fedvoxel site check {shown}", page)
    documented(f"fedvoxel site start {shown}", page)
    checked = network.run(machine, ["fedvoxel", "site", "check", kit])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with console.open("wb") as log:
        return subprocess.Popen(
            network.command(machine, ["fedvoxel", "site", "start", kit]),
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


def test_both_hospitals_register_over_mutual_tls(networked_consortium: NetworkedConsortium) -> None:
    network, kits = networked_consortium.network, networked_consortium.kits
    console = networked_consortium.console[SERVER].read_text(errors="replace")
    for site in HOSPITALS:
        assert re.search(rf"<= {network.addresses[site]}:\d+ SSL {site}\]", console), console
    checked = network.run("hospital-a", ["fedvoxel", "site", "check", kits["hospital-a"], "--json"])
    assert f"{SERVER}:8002 answers, and accepts this kit's certificate" in checked.stdout


def test_the_data_scientist_logs_in_from_another_machine(networked_consortium: NetworkedConsortium) -> None:
    script = (
        "import os, sys\n"
        "from nvflare.fuel.flare_api.flare_api import new_secure_session\n"
        "session = new_secure_session(sys.argv[1], sys.argv[2], timeout=20)\n"
        "try: print(sorted(client.name for client in session.get_system_info().client_info))\n"
        "finally: session.close()\n"
        "sys.stdout.flush(); os._exit(0)\n"
    )
    kit = networked_consortium.kits[SCIENTIST]
    said = networked_consortium.network.run("scientist", [sys.executable, "-c", script, SCIENTIST, kit])
    assert str(sorted(HOSPITALS)) in said.stdout, said.stdout + said.stderr


def test_a_job_trains_across_the_machines(networked_consortium: NetworkedConsortium, tmp_path: Path) -> None:
    for hospital in HOSPITALS:
        give_blobs(networked_consortium.kits[hospital])
    job = write_job(tmp_path / "job", job_documents())
    command = [sys.executable, "-m", "fedvoxel.cli.main", "job", "submit", job]
    options = ["--kit", networked_consortium.kits[SCIENTIST], "--download", tmp_path]
    done = networked_consortium.network.run("scientist", [*command, *options], timeout_s=240)
    assert done.returncode == 0, done.stdout + done.stderr
    (outcome_file,) = tmp_path.glob("*/workspace/outcome.json")
    outcome = load_outcome(outcome_file)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 1)
    assert set(outcome.rounds[0].contributed) == set(HOSPITALS)


def test_a_machine_without_a_kit_is_refused(networked_consortium: NetworkedConsortium) -> None:
    network = networked_consortium.network
    script = (
        "import socket, ssl, sys\n"
        "context = ssl._create_unverified_context()\n"
        "context.maximum_version = ssl.TLSVersion.TLSv1_2\n"
        "context.wrap_socket(socket.create_connection((sys.argv[1], 8002), timeout=10))\n"
    )
    assert "ssl.SSL" in network.run("scientist", [sys.executable, "-c", script, SERVER]).stderr


def test_no_hospital_listens_on_the_network(networked_consortium: NetworkedConsortium) -> None:
    """A site opens no port but on its own loopback address; the server opens the one in the consortium file."""
    network = networked_consortium.network
    for site in HOSPITALS:
        assert _listening_outside(network, site) == set()
    assert _listening_outside(network, "server") == {8002}


def _listening_outside(network: Network, machine: str) -> set[int]:
    rows = network.run(machine, ["ss", "-Hltn"]).stdout.splitlines()
    local = [row.split()[3] for row in rows]
    return {
        int(address.rpartition(":")[2])
        for address in local
        if not address.startswith(("127.", "[::1]", "[::ffff:127."))
    }
