"""Two hospitals behind a relay: a job runs, only the relay connects to the server, and its owner reads along."""

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fedvoxel.flare import kit_process
from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.governance.kit import open_kit
from fedvoxel.privacy.policy import NoBudget, grant
from tests.consortium_kits import free_port, relayed_consortium

from .conftest import ROOT, SystemUnderTest, log_in
from .scripted_site import CASES, COHORT, update
from .test_bad_sites import SITE_CLASS, run_scripted

pytestmark = pytest.mark.slow

RELAY, SITES = "relay-1", ("hospital-a", "hospital-b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("relays")


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def relayed(folder: Path, ports: tuple[int, int]) -> Iterator[SystemUnderTest]:
    """The server, a relay that keeps what passes, and two sites, each a process of its own."""
    made = relayed_consortium(folder, ports, SITE_CLASS)
    for site in SITES:
        grant(made.kit(site) / "local", COHORT, NoBudget())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("LISTENING_RELAY_FILE", str(folder / "heard"))
        patch.setitem(kit_process._MODULES, "relay", "tests.system.listening_relay")
        with running_consortium(made.workspace) as running:
            session = log_in(made)
            try:
                yield SystemUnderTest(running, session, folder / "downloads")
            finally:
                session.close()


def test_a_job_runs_through_a_relay_that_can_read_every_update(
    relayed: SystemUnderTest, folder: Path, ports: tuple[int, int], tmp_path: Path
) -> None:
    outcome = run_scripted(relayed, tmp_path, "relayed_run", 2)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 2)
    assert all(record.contributed == dict.fromkeys(SITES, CASES) for record in outcome.rounds)
    for site in SITES:
        process = relayed.running.processes[site].process()
        assert process
        dialled = {one.raddr.port for one in process.net_connections() if one.status == psutil.CONN_ESTABLISHED}
        assert ports[1] in dialled and ports[0] not in dialled
    heard = (folder / "heard").read_bytes()
    sent = [update(site, index)["w"].tobytes() for site in SITES for index in range(2)]
    assert all(one in heard for one in sent), "docs/scale.md says that a relay sees what passes through it"


def test_nobody_without_a_certificate_of_the_consortium_talks_to_a_relay(
    relayed: SystemUnderTest, ports: tuple[int, int]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(open_kit(relayed.kit(RELAY)).root_certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose handshake itself says that a certificate is missing
    with (
        socket.create_connection(("localhost", ports[1]), timeout=10) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(connection).close()
    site = open_kit(relayed.kit("hospital-a"))
    context.load_cert_chain(site.certificate, site.private_key)
    with socket.create_connection(("localhost", ports[1]), timeout=10) as connection:
        context.wrap_socket(connection).close()
