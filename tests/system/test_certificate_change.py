"""Certificates are renewed, and the root is changed, while jobs run and hospitals stay connected."""

import json
import shutil
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from fedvoxel.cli.main import main
from fedvoxel.governance.authority_store import PASSPHRASE_VARIABLE
from fedvoxel.governance.certificate_register import Register
from fedvoxel.governance.consortium import Consortium, authority_folder
from fedvoxel.governance.kit import open_kit
from fedvoxel.records.revocation import serial_text

from .conftest import (
    CONSORTIUM_FILE,
    PASSPHRASE,
    SCIENTIST,
    SITES,
    SystemUnderTest,
    job_variant,
    try_log_in,
    wait_until,
)
from .handshake import accepts

pytestmark = pytest.mark.slow

MOVER, OTHER = "hospital-a", "hospital-b"


@pytest.fixture(autouse=True)
def _passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)


def operator(made: Consortium, *words: str) -> None:
    """Gives one of the operator's commands."""
    assert main(["consortium", *words, "-w", str(made.workspace)]) == 0


def serial_in(made: Consortium, name: str) -> str:
    content = open_kit(made.kit(name)).certificate.read_bytes()
    return serial_text(x509.load_pem_x509_certificate(content).serial_number)


def serial_seen(made: Consortium, name: str) -> str:
    """Returns the certificate with which somebody came to the server last."""
    seen = json.loads((made.server_kit / "state" / "certificates" / "seen.json").read_text())
    return str(seen["serials"][name])


def shown(made: Consortium) -> str:
    """Returns the certificate that the server shows to who connects."""
    pem = ssl.get_server_certificate(("localhost", open_kit(made.server_kit).server.port))
    return serial_text(x509.load_pem_x509_certificate(pem.encode()).serial_number)


def restart(system: SystemUnderTest, made: Consortium, *names: str) -> None:
    """Ends participants as a power cut would, and waits until everybody is back."""
    if made.record.server in names:
        system.session.close()  # one that is left open keeps this process from ending
    for name in names:
        system.running.stop(name, abruptly=True)
    if made.record.server in names:
        system.running.start(made.record.server)
        system.session = wait_until(lambda: try_log_in(made), 90, "the server is back")
    system.bring_up()
    wait_until(lambda: system.connected() == set(SITES), 60, "everybody is back")


def test_certificates_are_renewed_in_the_middle_of_a_job_and_nobody_loses_it(
    own_system: SystemUnderTest, made: Consortium, tmp_path: Path
) -> None:
    server = made.record.server
    before = {name: serial_in(made, name) for name in (MOVER, server)}
    job_id = own_system.submit(job_variant(tmp_path, "renewed", rounds=3, epochs=15))
    own_system.wait_until_training(job_id, 1, [MOVER])
    operator(made, "renew", str(CONSORTIUM_FILE), MOVER, server)
    after = {name: serial_in(made, name) for name in (MOVER, server)}
    assert not set(before.values()) & set(after.values())
    wait_until(lambda: shown(made) == after[server], 30, "the server shows its renewed certificate")
    own_system.wait(job_id)
    outcome = own_system.outcome(job_id)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 3)
    assert all(set(record.contributed) == set(SITES) for record in outcome.rounds)
    restart(own_system, made, MOVER)
    wait_until(lambda: serial_seen(made, MOVER) == after[MOVER], 30, "the site came with its renewed certificate")
    operator(made, "revoke", before[MOVER], "--reason", "superseded", "--yes")
    again = own_system.run(job_variant(tmp_path, "superseded", rounds=1))
    assert set(again.rounds[0].contributed) == set(SITES), "the old certificate is of no use, and nobody misses it"


def test_both_roots_count_during_a_change_and_only_the_new_one_after_it(
    own_system: SystemUnderTest, made: Consortium, tmp_path: Path
) -> None:
    operator(made, "rotate-ca", str(CONSORTIUM_FILE))
    operator(made, "renew", str(CONSORTIUM_FILE), MOVER, SCIENTIST)
    own_system.session.close()
    own_system.session = try_log_in(made)
    restart(own_system, made, MOVER, OTHER)
    issuers = {name: _issuer(made, name) for name in (MOVER, OTHER)}
    assert issuers == {MOVER: "CN=fedvoxel 2", OTHER: "CN=fedvoxel"}
    # The job is signed with a certificate of the new root; every site checks it against the first root it trusts.
    outcome = own_system.run(job_variant(tmp_path, "both_roots", rounds=1))
    assert set(outcome.rounds[0].contributed) == set(SITES)

    old = shutil.copytree(made.kit(OTHER), tmp_path / "old")
    operator(made, "renew", str(CONSORTIUM_FILE))
    operator(made, "rotate-ca", str(CONSORTIUM_FILE), "--finish")
    restart(own_system, made, *SITES, made.record.server)
    outcome = own_system.run(job_variant(tmp_path, "new_root", rounds=1))
    assert set(outcome.rounds[0].contributed) == set(SITES)
    shutil.copy(made.kit(OTHER) / "startup" / "rootCA.pem", old / "startup")
    assert accepts(made.kit(OTHER)) and not accepts(old)
    good = [one for one in Register(authority_folder(made.workspace)).issued() if one.is_good(datetime.now(UTC))]
    assert any(one.certificate.issuer.rfc4514_string() == "CN=fedvoxel" for one in good), "it was good till then"


def _issuer(made: Consortium, name: str) -> str:
    return x509.load_pem_x509_certificate(open_kit(made.kit(name)).certificate.read_bytes()).issuer.rfc4514_string()
