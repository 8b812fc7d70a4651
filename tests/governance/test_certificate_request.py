"""A request for a certificate, its answer, its renewal: the key stays, and nobody becomes somebody else by asking."""

import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fedvoxel.errors import ConsortiumError
from fedvoxel.export.archive import archive_bytes
from fedvoxel.governance.answer import install_answer, pack_answer
from fedvoxel.governance.authority import Authority
from fedvoxel.governance.certificate_request import (
    certificate_fingerprint,
    make_key,
    make_request,
    read_request,
    requested_by,
)
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.leaving import checklist
from fedvoxel.governance.renewal import renew, take_up
from tests.fuzz.der import pem, said_in, signed_anew, signs
from tests.governance.quick_authority import quick_authority

SITE = Holder("hospital-a", "hospital_a", "site")
LEAD = Holder("lead@consortium.example", "consortium", "person", "lead")
RELAY = Holder("relay-1", "consortium", "listener")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return quick_authority(tmp_path / "w" / "authority")


def asked(tmp_path: Path, holder: Holder) -> Path:
    key = make_key(tmp_path / f"{holder.name}.key")
    make_request(holder, key, tmp_path / f"{holder.name}.csr")
    return tmp_path / f"{holder.name}.csr"


# ------------------------------------------------------------------ requests


def test_a_request_is_for_whom_the_file_names_and_holds_no_key(tmp_path: Path) -> None:
    path = asked(tmp_path, LEAD)
    assert b"PRIVATE" not in path.read_bytes()
    assert stat.S_IMODE((tmp_path / f"{LEAD.name}.key").stat().st_mode) == 0o600
    holder, key = requested_by(read_request(path), (SITE, LEAD))
    assert holder == LEAD
    own = serialization.load_pem_private_key((tmp_path / f"{LEAD.name}.key").read_bytes(), None)
    assert own.public_key() == key


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        (Holder("hospital-z", "hospital_a", "site"), "nobody of the name 'hospital-z'"),
        (Holder("hospital-a", "hospital_b", "site"), "asks as no person of hospital_b, and is no person of hospital_a"),
        (Holder("hospital-a", "hospital_a", "person", "lead"), "asks as lead of hospital_a"),
        (Holder(LEAD.name, LEAD.organisation, "person", "project_admin"), "asks as project_admin"),
        (Holder(LEAD.name, LEAD.organisation, "site"), "asks as no person of consortium, and is lead"),
        (Holder("relay-1", "consortium", "relay"), "nobody of the name 'relay-1'"),
    ],
)
def test_nobody_becomes_somebody_else_by_asking(tmp_path: Path, asks: Holder, words: str) -> None:
    with pytest.raises(ConsortiumError, match=words):
        requested_by(read_request(asked(tmp_path, asks)), (SITE, LEAD, RELAY))


def test_a_request_for_somebody_elses_key_is_refused(tmp_path: Path) -> None:
    """The signature of another's request is put on one's own name."""
    request = read_request(asked(tmp_path, SITE))
    der = request.public_bytes(serialization.Encoding.DER).replace(b"hospital-a", b"hospital-b")
    path = tmp_path / "forged.csr"
    path.write_bytes(x509.load_der_x509_csr(der).public_bytes(serialization.Encoding.PEM))
    with pytest.raises(ConsortiumError, match="not signed with the key"):
        read_request(path)


def test_what_is_no_request_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.csr"
    for content in (b"", b"rubbish", b"-----BEGIN CERTIFICATE REQUEST-----\nAA\n", b"x" * 100_000):
        path.write_bytes(content)
        with pytest.raises(ConsortiumError, match="no request"):
            read_request(path)
    with pytest.raises(ConsortiumError, match="no request"):
        read_request(tmp_path / "missing.csr")
    for key in (ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 1024)):  # noqa: S505
        signed = x509.CertificateSigningRequestBuilder().subject_name(SITE.subject).sign(key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        with pytest.raises(ConsortiumError, match="RSA with at least 2048"):
            read_request(path)


def test_a_request_whose_subject_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Who asks signs whatever stands there, so that the signature is right."""
    path = asked(tmp_path, SITE)
    key = serialization.load_pem_private_key((tmp_path / f"{SITE.name}.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    der = x509.load_pem_x509_csr(path.read_bytes()).public_bytes(serialization.Encoding.DER)
    said = said_in(der).replace(b"\x0c\x0ahospital-a", b"\x0c\x0a\xff\xfespital-a")
    path.write_bytes(pem("CERTIFICATE REQUEST", signed_anew(der, said, signs(key))))
    with pytest.raises(ConsortiumError, match="no way that can be read who asks"):
        requested_by(read_request(path), (SITE,))
    of_no_version = said_in(der).replace(b"\x02\x01\x00", b"\x02\x01\x40", 1)
    path.write_bytes(pem("CERTIFICATE REQUEST", signed_anew(der, of_no_version, signs(key))))
    with pytest.raises(ConsortiumError, match="is no request for a certificate"):
        read_request(path)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    before = asked(tmp_path, SITE).with_suffix(".key").read_bytes()
    with pytest.raises(ConsortiumError, match="never overwritten"):
        make_key(tmp_path / "hospital-a.key")
    assert (tmp_path / "hospital-a.key").read_bytes() == before


# ------------------------------------------------------------------ answers


@pytest.fixture
def answer(authority: Authority, tmp_path: Path) -> Path:
    """An answer to hospital-a, as small as a kit can be."""
    holder, key = requested_by(read_request(asked(tmp_path, SITE)), (SITE,))
    certificate = authority.issue(holder, key, 90)
    startup = tmp_path / "kit" / "startup"
    startup.mkdir(parents=True)
    (startup / "client.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    for name in ("rootCA.pem", "crl.pem"):
        shutil.copy(authority.folder / name, startup)
    server = '{"servers": [{"name": "small", "service": {"target": "h:1", "scheme": "http"}, "identity": "h"}]}'
    (startup / "fed_client.json").write_text(server)
    (tmp_path / "kit" / "local").mkdir()
    (tmp_path / "kit" / "local" / "environment").write_text("")
    pack_answer(tmp_path / "kit", tmp_path / "hospital-a.kit.zip")
    return tmp_path / "hospital-a.kit.zip"


def install(answer: Path, authority: Authority, key: Path | None = None, told: str | None = None) -> Path:
    fingerprint = told or certificate_fingerprint(authority.certificate)
    folder = answer.parent / "installed"
    install_answer(answer, key or answer.parent / "hospital-a.key", fingerprint, folder)
    return folder


def test_an_answer_becomes_a_kit_with_the_key_that_never_left(answer: Path, authority: Authority) -> None:
    kit = open_kit(install(answer, authority))
    assert (kit.name, kit.kind) == ("hospital-a", "site")
    assert kit.private_key.read_bytes() == (answer.parent / "hospital-a.key").read_bytes()
    assert stat.S_IMODE(kit.private_key.stat().st_mode) == 0o600


@pytest.mark.usefixtures("owners_umask")
def test_who_checks_signatures_with_an_installed_kit_can_read_what_that_takes(
    answer: Path, authority: Authority
) -> None:
    kit = open_kit(install(answer, authority))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in kit.startup.iterdir()}
    public = {name for name, mode in modes.items() if mode == 0o644}
    assert public == {"client.crt", "rootCA.pem", "crl.pem"} and modes["client.key"] == 0o600


def test_an_answer_of_another_root_or_for_another_key_makes_nothing(
    answer: Path, authority: Authority, tmp_path: Path
) -> None:
    make_key(tmp_path / "other.key")
    with pytest.raises(ConsortiumError, match="another fingerprint"):
        install(answer, authority, told="SHA256:" + "00:" * 31 + "00")
    with pytest.raises(ConsortiumError, match="for another key"):
        install(answer, authority, key=tmp_path / "other.key")
    other = quick_authority(tmp_path / "other", number=1)
    shutil.copy(other.folder / "rootCA.pem", tmp_path / "kit" / "startup")
    pack_answer(tmp_path / "kit", answer)
    with pytest.raises(ConsortiumError, match="not issued by the root"):
        install(answer, authority, told=certificate_fingerprint(other.certificate))
    own = (authority.folder / "rootCA.pem").read_bytes()
    (tmp_path / "kit" / "startup" / "rootCA.pem").write_bytes(own + (other.folder / "rootCA.pem").read_bytes())
    pack_answer(tmp_path / "kit", answer)
    with pytest.raises(ConsortiumError, match="no root of this kit vouches for"):
        install(answer, authority)
    assert not (tmp_path / "installed").exists()
    assert not list(tmp_path.glob(".installing-*"))


@pytest.mark.parametrize(
    "name",
    [
        *("../escaped", "/etc/escaped", "startup/../../escaped", "other/x", "a/b/c", "local/..", "", "startup"),
        *("state", "startup/", "x" * 300, "local/\x1b[2J"),
    ],
)
def test_an_answer_writes_nowhere_else(answer: Path, authority: Authority, tmp_path: Path, name: str) -> None:
    answer.write_bytes(archive_bytes({name: b"x"}))
    with pytest.raises(ConsortiumError, match="which no kit has"):
        install(answer, authority)
    assert not list(tmp_path.rglob("escaped"))


def test_a_damaged_answer_is_refused(answer: Path, authority: Authority) -> None:
    for content in (b"", b"PK", answer.read_bytes()[:-30]):
        answer.write_bytes(content)
        with pytest.raises(ConsortiumError, match="not an answer"):
            install(answer, authority)


def test_a_kit_with_a_key_is_not_packed(answer: Path, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "hospital-a.key", tmp_path / "kit" / "startup" / "client.key")
    with pytest.raises(ConsortiumError, match="holds a private key"):
        pack_answer(tmp_path / "kit", tmp_path / "again.zip")


# ------------------------------------------------------------------ renewal


def test_a_renewed_certificate_is_for_the_same_key_and_taken_up_once(answer: Path, authority: Authority) -> None:
    kit = open_kit(install(answer, authority))
    new = renew(authority, SITE, 120).certificate.public_bytes(serialization.Encoding.PEM)
    assert take_up(kit, new) and not take_up(kit, new)
    assert kit.certificate.read_bytes() == new


def test_no_other_certificate_is_taken_up(answer: Path, authority: Authority, tmp_path: Path) -> None:
    kit = open_kit(install(answer, authority))
    before = kit.certificate.read_bytes()
    key = serialization.load_pem_private_key(kit.private_key.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    stranger = rsa.generate_private_key(65537, 2048).public_key()
    other = quick_authority(tmp_path / "other", number=1)
    for certificate, words in (
        (authority.issue(Holder("hospital-b", "hospital_a", "site"), key.public_key(), 120), "not for hospital-a"),
        (authority.issue(Holder("hospital-a", "hospital_a", "person", "lead"), key.public_key(), 120), "not for"),
        (authority.issue(SITE, stranger, 120), "not for hospital-a and its key"),
        (other.issue(SITE, key.public_key(), 120), "another consortium"),
        (authority.issue(SITE, key.public_key(), 30), "ends no later"),
    ):
        with pytest.raises(ConsortiumError, match=words):
            take_up(kit, certificate.public_bytes(serialization.Encoding.PEM))
    with pytest.raises(ConsortiumError, match="got none"):
        take_up(kit, b"rubbish")
    assert kit.certificate.read_bytes() == before


def test_a_revoked_or_unknown_holder_is_not_renewed(answer: Path, authority: Authority) -> None:
    with pytest.raises(ConsortiumError, match="no valid certificate"):
        renew(authority, LEAD, 90)
    authority.revoke(authority.register.find("hospital-a", datetime.now(UTC)), "key-compromise", 90)
    with pytest.raises(ConsortiumError, match="new request"):
        renew(authority, SITE, 90)


def test_the_leavers_checklist_knows_what_is_done(answer: Path, authority: Authority) -> None:
    lead_at_a = Holder("lead@hospital-a.example", "hospital_a", "person", "lead")
    authority.issue(lead_at_a, rsa.generate_private_key(65537, 2048).public_key(), 90)
    workspace = authority.folder.parent
    open_steps = {step.what: step.done for step in checklist(workspace, "hospital-a")}
    assert open_steps["Certificates of hospital-a are revoked"] is False
    assert open_steps[f"People of hospital_a: {lead_at_a.name}"] is False
    for name in ("hospital-a", lead_at_a.name):
        authority.revoke(authority.register.find(name, datetime.now(UTC)), "left", 90)
    done = {step.what: step.done for step in checklist(workspace, "hospital-a")}
    assert done["Certificates of hospital-a are revoked"] and done["People of hospital_a: none"]
    with pytest.raises(ConsortiumError, match="ever had"):
        checklist(workspace, "hospital-z")
