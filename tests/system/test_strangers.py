"""Whoever does not belong is refused by a real server over mutual TLS, and the server's audit says so.

Each case comes from a machine of its own. A revoked certificate is tried in test_revocation.
"""

import json
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from nvflare.lighter.utils import (
    Identity,
    generate_cert,
    generate_keys,
    serialize_cert,
    serialize_pri_key,
    x509_name,
)

from fedvoxel.flare.kit_process import processes_of
from fedvoxel.governance.authority_store import open_authority
from fedvoxel.governance.consortium import authority_folder
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent

from .network import environment, why_not
from .networked import HOSPITALS, PASSPHRASE, ROOT, SCIENTIST, SERVER, NetworkedConsortium, networked

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")

MEMBER = "clinician@hospital-a.example"
SITE = "hospital-a"
STRANGER = "scientist"  # the machine, whoever sits at it
ENDPOINT = "_admin_9b2b1a52-8f6e-4c5b-9d0a-2f9f6a4f1f1{}"
"""How FLARE names a person's connection: by chance, and bound to no certificate."""

Audited = Callable[[str, str, str], AuditEvent]


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NetworkedConsortium]:
    """A server and two hospitals on machines of their own; the authority's keys are kept, to misuse them."""
    with networked(tmp_path_factory.mktemp("strangers"), people=[MEMBER], authority=True) as running:
        yield running


def _try(consortium: NetworkedConsortium, case: str, *words: str | Path, machine: str = STRANGER) -> Any:
    command = [sys.executable, "-m", "tests.system.stranger", case, SERVER, *words]
    done = subprocess.run(
        consortium.network.command(machine, command),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(),
        cwd=ROOT,
    )
    said = re.findall(r"CAME OF IT (.*)", done.stdout)
    assert said, done.stdout + done.stderr
    return json.loads(said[-1])


@pytest.fixture
def audited(consortium: NetworkedConsortium) -> Audited:
    """Waits until the server's audit, read anew and verified, has a refusal of this test's time, and returns it.

    What an earlier test left there proves nothing.
    """
    log = AuditLog(consortium.kits[SERVER] / "state")
    before = len(log.read())

    def wait(task: str, who: str, reason: str) -> AuditEvent:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            events = [event for _, event in log.read()[before:] if event.outcome == "refused"]
            for event in events:
                if event.task == task and _who(event) == who and reason in event.reason:
                    return event
            time.sleep(0.2)
        pytest.fail(f"no {task} by {who} with {reason!r} in {[(e.task, _who(e), e.reason) for e in events]}")

    return wait


def _who(event: AuditEvent) -> str:
    return event.actor.name if event.actor else ""


def _address(consortium: NetworkedConsortium, machine: str = STRANGER) -> str:
    return consortium.network.addresses[machine]


def _pair(folder: Path, certificate: x509.Certificate, key: Any) -> tuple[Path, Path]:
    files = folder / "client.crt", folder / "client.key"
    files[0].write_bytes(serialize_cert(certificate))
    files[1].write_bytes(serialize_pri_key(key))
    return files


def _issued(days_ago: int, folder: Path, issuer: tuple[x509.Certificate, Any] | None = None) -> tuple[Path, Path]:
    """Makes a certificate of hospital-a that was valid until `days_ago`, self-signed or by an issuer."""
    key, public = generate_keys()
    now, subject = datetime.now(UTC), x509_name(SITE, "hospital_a")
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=days_ago + 30))
        .not_valid_after(now - timedelta(days=days_ago))
    )
    return _pair(folder, made.sign(issuer[1] if issuer else key, hashes.SHA256()), key)


def _authority(consortium: NetworkedConsortium) -> tuple[x509.Certificate, Any]:
    folder = authority_folder(consortium.network.folder / "consortium")
    authority = open_authority(folder, folder, PASSPHRASE)
    return authority.certificate, authority.key


def test_no_certificate(consortium: NetworkedConsortium, audited: Audited) -> None:
    for version in ("TLSv1_2", "TLSv1_3"):
        assert _try(consortium, "shake_hands", "", "", version).startswith("refused")
    event = audited("connect", _address(consortium), "no certificate")
    assert event.run_key == "" and event.job_id == ""


def test_a_self_signed_certificate(consortium: NetworkedConsortium, audited: Audited, tmp_path: Path) -> None:
    assert _try(consortium, "shake_hands", *_issued(-30, tmp_path)).startswith("refused")
    audited("connect", _address(consortium), "certificate refused: self-signed")


def test_an_expired_certificate(consortium: NetworkedConsortium, audited: Audited, tmp_path: Path) -> None:
    assert _try(consortium, "shake_hands", *_issued(1, tmp_path, _authority(consortium))).startswith("refused")
    audited("connect", _address(consortium), "certificate refused: certificate has expired")
    # The same with days left is let in: it is the date that was refused.
    assert _try(consortium, "shake_hands", *_issued(-30, tmp_path, _authority(consortium))) == "let in"


def test_another_consortiums_certificate(consortium: NetworkedConsortium, audited: Audited, tmp_path: Path) -> None:
    root, public = generate_keys()
    name = Identity("fedvoxel", "consortium")
    other = generate_cert(name, name, root, public, ca=True)
    assert _try(consortium, "shake_hands", *_issued(-30, tmp_path, (other, root))).startswith("refused")
    audited("connect", _address(consortium), "certificate refused: unable to get local issuer certificate")


@pytest.mark.parametrize(
    ("said", "reason"),
    [("GET /f3 HTTP/1.1\r\nHost: x\r\n\r\n", "plain HTTP, no TLS"), ("hello\r\n" * 4, "TLS refused: no TLS")],
)
def test_plain_text(consortium: NetworkedConsortium, audited: Audited, said: str, reason: str) -> None:
    assert _try(consortium, "speak_plainly", said).startswith("refused")
    audited("connect", _address(consortium), reason)


def test_a_persons_certificate_registers_no_site(consortium: NetworkedConsortium, audited: Audited) -> None:
    came = _try(consortium, "register", consortium.kits[SCIENTIST], SCIENTIST, ENDPOINT.format(0), "regular")
    assert "refused" in came
    audited("register", SCIENTIST, f"as {SCIENTIST}: a person's certificate (lead)")


def test_a_sites_certificate_logs_nobody_in(consortium: NetworkedConsortium, audited: Audited) -> None:
    came = _try(consortium, "register", consortium.kits[SITE], SITE, ENDPOINT.format(1), "admin")
    assert "refused" in came
    audited("register", SITE, f"as {SITE}: no person's certificate")


def test_a_name_that_its_certificate_does_not_prove(consortium: NetworkedConsortium, audited: Audited) -> None:
    """As an endpoint, and as a name over an endpoint that is its own."""
    kit = consortium.kits[SCIENTIST]
    assert "refused" in _try(consortium, "register", kit, SITE, SITE, "regular")
    audited("connect", SCIENTIST, f"claimed endpoint '{SITE}'")
    assert "refused" in _try(consortium, "register", kit, MEMBER, ENDPOINT.format(2), "admin")
    audited("message", SCIENTIST, f"a message with the name of {MEMBER}")


def test_a_member_submits_nothing(consortium: NetworkedConsortium, audited: Audited) -> None:
    job = ROOT / "jobs" / "hippocampus_fedavg"
    copy = shutil.copytree(job, consortium.network.folder / "job", dirs_exist_ok=True)
    came = _try(consortium, "command_as", consortium.kits[MEMBER], MEMBER, f"submit {copy}")
    assert came.startswith("refused")
    audited("submit_job", MEMBER, "")


def test_what_a_person_commands_is_in_the_audit_and_what_they_look_at_is_not(consortium: NetworkedConsortium) -> None:
    log, kit = AuditLog(consortium.kits[SERVER] / "state"), consortium.kits[SCIENTIST]
    before = len(log.read())
    job = shutil.copytree(ROOT / "jobs" / "hippocampus_fedavg", consortium.network.folder / "waits")
    meta = json.loads((job / "meta.json").read_text())
    (job / "meta.json").write_text(json.dumps(meta | {"min_clients": 99}))
    submitted = _try(consortium, "command_as", kit, SCIENTIST, f"submit {job}")
    job_id = submitted.removeprefix("submitted: ")
    given = [
        "list_jobs",
        f"get_job_meta {job_id}",
        f"clone_job {job_id}",
        f"abort_job {job_id}",
        f"delete_job {job_id}",
    ]
    for command in given:
        assert not _try(consortium, "command_as", kit, SCIENTIST, command).startswith("refused")
    told = [event for _, event in log.read()[before:] if event.kind == "command"]
    assert [(_who(event), event.outcome) for event in told] == [(SCIENTIST, "allowed")] * 4
    assert [event.task for event in told] == ["submit_job", "clone_job", "abort_job", "delete_job"]
    assert [event.job_id == job_id for event in told] == [True, False, True, True]
    assert told[1].job_id and told[1].reason == f"from job {job_id}"


def test_a_stolen_session_is_of_no_use_elsewhere(consortium: NetworkedConsortium, audited: Audited) -> None:
    stolen = _try(consortium, "command_as", consortium.kits[SCIENTIST], SCIENTIST, "token")
    came = _try(consortium, "command_as", consortium.kits[MEMBER], MEMBER, "list_jobs", stolen, machine=SITE)
    assert "NOT_AUTHORIZED" in came.upper() or "refused" in came
    audited("command", MEMBER, f"list_jobs with the session of {SCIENTIST}")


def test_a_stolen_session_is_of_no_use_with_an_upload(consortium: NetworkedConsortium, audited: Audited) -> None:
    """FLARE does not say over whose connection an upload came, and runs any command that comes with it."""
    job = ROOT / "jobs" / "hippocampus_fedavg"
    copy = shutil.copytree(job, consortium.network.folder / "stolen", dirs_exist_ok=True)
    stolen = _try(consortium, "command_as", consortium.kits[SCIENTIST], SCIENTIST, "token")
    thief = consortium.kits[MEMBER], MEMBER, stolen, copy
    # Its owner has logged out; FLARE makes a session again of any token, for a refused command too.
    _try(consortium, "command_as", consortium.kits[MEMBER], MEMBER, "list_jobs", stolen, machine=SITE)
    for command in ("list_jobs", f"delete_job {uuid.uuid4()}"):
        assert "refused" in _try(consortium, "upload_as", *thief, command, machine=SITE)
        asked = f"{command.split()[0]} with an upload, in the session of {SCIENTIST}"
        audited("command", "unknown", asked)
    assert f"signed by {MEMBER}" in _try(consortium, "upload_as", *thief, "", machine=SITE)
    audited("submit_job", SCIENTIST, f"signed by {MEMBER} and came in the session of {SCIENTIST}")
    # Its owner's own is taken; it waits for more hospitals than there are.
    meta = json.loads((copy / "meta.json").read_text())
    (copy / "meta.json").write_text(json.dumps(meta | {"min_clients": 99}))
    own = consortium.kits[SCIENTIST], SCIENTIST, f"submit {copy}"
    assert _try(consortium, "command_as", *own).startswith("submitted: ")


def test_a_stolen_token_is_of_no_use_on_another_connection(consortium: NetworkedConsortium, audited: Audited) -> None:
    """NVFlare #4858: over the thief's own connection, in the victim's name, with the victim's valid token."""
    victim = HOSPITALS[1]
    for process in processes_of(consortium.kits[victim]):
        process.terminate()  # two connections of one name would take each other's replies
    stolen = _try(consortium, "register", consortium.kits[victim], victim, victim, "regular")
    words = (consortium.kits[SCIENTIST], ENDPOINT.format(3), victim, stolen["token"], stolen["signature"])
    came = _try(consortium, "quit_as", *words)
    assert came != "ok"
    audited("message", SCIENTIST, f"a message in the name of {victim}")
    # The owner's own goodbye, over the owner's connection, is not refused.
    words = (consortium.kits[victim], victim, victim, stolen["token"], stolen["signature"])
    _try(consortium, "quit_as", *words)
    told = [event for _, event in AuditLog(consortium.kits[SERVER] / "state").read()]
    assert not [event for event in told if _who(event) == victim and event.task == "message"]


def test_who_belongs_is_not_in_the_audit(consortium: NetworkedConsortium) -> None:
    address = _address(consortium, HOSPITALS[1])
    events = [event for _, event in AuditLog(consortium.kits[SERVER] / "state").read()]
    assert not [event for event in events if _who(event) in (address, *HOSPITALS) and event.task == "connect"]


def test_the_audit_names_no_key(consortium: NetworkedConsortium) -> None:
    text = (consortium.kits[SERVER] / "state/audit/audit.jsonl").read_text()
    key = (consortium.kits[SITE] / "startup/client.key").read_bytes()
    loaded = serialization.load_pem_private_key(key, password=None)
    assert loaded.key_size == 2048  # type: ignore[union-attr]
    assert "PRIVATE KEY" not in text and "BEGIN CERTIFICATE" not in text
