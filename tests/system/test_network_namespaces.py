"""A server and two hospitals on machines of their own, from kits alone, by the commands of docs/operator.md."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedvoxel.federation.outcome import load_outcome
from tests.blob_job import give_blobs, job_documents, write_job
from tests.system.network import Network, why_not
from tests.system.networked import HOSPITALS, SCIENTIST, SERVER, NetworkedConsortium, networked

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")


@pytest.fixture(scope="module")
def networked_consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkedConsortium]:
    """Both hospitals registered, on lines without limits."""
    with networked(tmp_path_factory.mktemp("network")) as consortium:
        yield consortium


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
