"""The certificate authority: its key is encrypted, what it does is written down, and what it signs is right."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from nvflare.lighter.utils import verify_cert_chain
from nvflare.private.fed.utils.identity_utils import _validate_identity_cert_usage

from fedvoxel.errors import ConsortiumError, LedgerError
from fedvoxel.governance import authority as authority_module
from fedvoxel.governance.authority import Authority
from fedvoxel.governance.authority_store import KEY_FILE, create_authority, open_authority
from fedvoxel.governance.certificate_register import Reason, Register
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.list_places import authority_alarms
from fedvoxel.governance.renewal import renew
from fedvoxel.records.chain import Chain
from fedvoxel.records.revocation import check_list, check_list_is_of_now, number_of, read_lists, revoked_from
from tests.governance.quick_authority import PASSPHRASE, quick_authority

SITE = Holder("hospital-a", "hospital_a", "site")
SERVER = Holder("fl.example", "consortium", "server", None, ("localhost", "10.0.0.1"))
LEAD = Holder("lead@consortium.example", "consortium", "person", "lead")
KEY, OTHER_KEY = (rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key() for _ in range(2))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return quick_authority(tmp_path / "ca")


def now() -> datetime:
    return datetime.now(UTC)


# ------------------------------------------------------------------ the key


def test_the_key_is_encrypted_and_its_owners_alone(authority: Authority) -> None:
    content = (authority.folder / KEY_FILE).read_bytes()
    assert content.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    assert stat.S_IMODE((authority.folder / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700
    for path in authority.folder.rglob("*"):
        assert path.is_dir() or b"-BEGIN PRIVATE KEY" not in path.read_bytes()
        assert path.is_dir() or b"RSA PRIVATE KEY" not in path.read_bytes()


def test_only_its_passphrase_opens_it(authority: Authority) -> None:
    assert open_authority(authority.folder, authority.folder, PASSPHRASE).certificate == authority.certificate
    for wrong in ("another passphrase", "", None):
        with pytest.raises(ConsortiumError, match="passphrase does not open"):
            open_authority(authority.folder, authority.folder, wrong)


def test_a_short_passphrase_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConsortiumError, match="at least 12"):
        create_authority(tmp_path / "ca", tmp_path / "ca", "small", (3650, 90), "short")
    assert not (tmp_path / "ca").exists()


def test_the_key_may_be_on_a_stick_that_is_away(tmp_path: Path) -> None:
    made = quick_authority(tmp_path / "ca", tmp_path / "stick")
    assert not (made.folder / KEY_FILE).exists()
    assert Register(made.folder).states(now()) == []
    with pytest.raises(ConsortiumError, match="--ca"):
        open_authority(made.folder, made.folder, PASSPHRASE)
    assert open_authority(made.folder, tmp_path / "stick", PASSPHRASE).certificate == made.certificate


def test_the_key_of_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    quick_authority(tmp_path / "other", number=1)
    with pytest.raises(ConsortiumError, match="another authority"):
        open_authority(authority.folder, tmp_path / "other", PASSPHRASE)


def test_an_authority_is_never_overwritten(authority: Authority) -> None:
    with pytest.raises(ConsortiumError, match="already"):
        create_authority(authority.folder, authority.folder, "small", (3650, 90), PASSPHRASE)


def test_without_a_passphrase_no_key_is_kept(tmp_path: Path) -> None:
    made = create_authority(tmp_path / "ca", tmp_path / "ca", "small", (3650, 90), None)
    assert made.issue(SITE, KEY, 90).issuer == made.certificate.subject
    assert not list(made.folder.rglob("*.key"))
    with pytest.raises(ConsortiumError, match="kept none"):
        open_authority(made.folder, made.folder, None)


# ------------------------------------------------------------------ certificates


@pytest.mark.parametrize("holder", [SITE, SERVER, LEAD])
def test_flare_accepts_what_is_issued(authority: Authority, holder: Holder) -> None:
    certificate = authority.issue(holder, KEY, 90)
    verify_cert_chain(certificate, [], authority.certificate)
    _validate_identity_cert_usage(certificate, ExtendedKeyUsageOID.CLIENT_AUTH)
    assert certificate.subject == holder.subject


def test_only_a_listener_may_be_a_server(authority: Authority) -> None:
    for holder, may in ((SITE, False), (LEAD, False), (SERVER, True)):
        usage = authority.issue(holder, KEY, 90).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert (ExtendedKeyUsageOID.SERVER_AUTH in usage) == may
    names = authority.issue(SERVER, KEY, 90).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["fl.example", "localhost", "10.0.0.1"]


def test_a_certificate_ends_when_it_should_and_never_after_its_root(tmp_path: Path) -> None:
    made = create_authority(tmp_path / "ca", tmp_path / "ca", "small", (30, 90), None)
    short, long = made.issue(SITE, KEY, 7), made.issue(SITE, KEY, 90)
    assert abs(short.not_valid_after_utc - now() - timedelta(days=7)) < timedelta(minutes=5)
    assert long.not_valid_after_utc == made.certificate.not_valid_after_utc


def test_a_certificate_is_in_the_register_before_it_is_handed_out(authority: Authority) -> None:
    certificate = authority.issue(LEAD, KEY, 90)
    (one,) = authority.register.issued()
    assert (one.certificate, one.holder) == (certificate, LEAD)
    path = authority.folder / "register" / "certificates.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"kind":"person"', b'"kind":"server"'))
    with pytest.raises(LedgerError):
        authority.register.issued()


def test_what_a_certificate_is_worth(authority: Authority) -> None:
    old, new = authority.issue(SITE, KEY, 90), authority.issue(SITE, KEY, 91)
    lead, soon = authority.issue(LEAD, KEY, 90), authority.issue(SERVER, KEY, 20)
    authority.revoke(authority.register.find(LEAD.name, now()), "left", 90)
    states = {one.certificate: state for one, state in authority.register.states(now())}
    assert states == {old: "replaced", new: "valid", lead: "revoked", soon: "expires soon"}
    later = {one.certificate: state for one, state in authority.register.states(now() + timedelta(days=200))}
    assert later == {old: "expired", new: "expired", lead: "revoked", soon: "expired"}
    (alarm,) = authority_alarms(authority.folder, now())
    assert "the certificate of fl.example" in alarm
    assert len(authority_alarms(authority.folder, now() + timedelta(days=70))) == 3


# ------------------------------------------------------------------ lists


def test_a_revoked_certificate_is_on_every_list_from_then_on(authority: Authority) -> None:
    first = read_lists(authority.list_file)[0]
    certificate = authority.issue(SITE, KEY, 90)
    since = now() - timedelta(days=3)
    authority.revoke(authority.register.find(SITE.name, now()), "key-compromise", 90, since)
    second, third = read_lists(authority.list_file)[0], authority.sign_list(90)
    assert [number_of(crl) for crl in (first, second, third)] == [1, 2, 3]
    assert first.get_revoked_certificate_by_serial_number(certificate.serial_number) is None
    for crl in (second, third):
        check_list(crl, authority.certificate)
        check_list_is_of_now(crl, now())
        entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
        assert entry is not None and revoked_from(entry) == since.replace(microsecond=0)
        assert entry.extensions.get_extension_for_class(x509.CRLReason).value.reason == x509.ReasonFlags.key_compromise


def since_when(authority: Authority, certificate: x509.Certificate) -> datetime | None:
    """Returns since when a certificate counts for nothing by the newest list; None while it counts."""
    entry = read_lists(authority.list_file)[0].get_revoked_certificate_by_serial_number(certificate.serial_number)
    return revoked_from(entry) if entry else None


@pytest.mark.parametrize("by", ["name", "serial"])
@pytest.mark.parametrize("reason", ["left", "key-compromise"])
def test_an_interrupted_revocation_is_said_again(
    authority: Authority, by: str, reason: Reason, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = authority.issue(SITE, KEY, 90)
    who, since = SITE.name if by == "name" else f"{certificate.serial_number:X}", now() - timedelta(days=1)
    with monkeypatch.context() as full:
        full.setattr(authority_module, "write_public", _full)
        with pytest.raises(OSError, match="full"):
            authority.revoke(authority.register.find(who, now()), reason, 90, since)
    assert since_when(authority, certificate) is None and authority.register.issued()[0].revoked
    authority.revoke(authority.register.find(who, now()), reason, 90)
    assert since_when(authority, certificate) == since.replace(microsecond=0)


def _full(*args: object) -> None:
    raise OSError("full")


def test_a_stolen_key_takes_all_its_certificates_with_it_and_gets_no_other(authority: Authority) -> None:
    expired, superseded = authority.issue(LEAD, KEY, 0), authority.issue(LEAD, KEY, 60)
    newest, other_key = authority.issue(LEAD, KEY, 90), authority.issue(LEAD, OTHER_KEY, 90)
    register, since = authority.register, (now() - timedelta(days=9)).replace(microsecond=0)
    authority.revoke(register.find(f"{superseded.serial_number:X}", now()), "superseded", 90)
    assert since_when(authority, superseded) and not since_when(authority, newest)
    authority.revoke(register.find(f"{newest.serial_number:X}", now()), "key-compromise", 90, since)
    assert [since_when(authority, one) for one in (expired, superseded, newest, other_key)] == [since] * 3 + [None]
    assert renew(authority, LEAD, 90).certificate.public_key() == OTHER_KEY
    for holder in (LEAD, SITE):
        with pytest.raises(ConsortiumError, match="others may have it"):
            authority.issue(holder, KEY, 90)


def test_what_is_revoked_once_more_counts_for_nothing_since_no_later_than_before(authority: Authority) -> None:
    certificate, first = authority.issue(SITE, KEY, 90), now() - timedelta(days=9)
    authority.revoke(authority.register.find(SITE.name, now()), "key-compromise", 90, first)
    authority.revoke(authority.register.find(SITE.name, now()), "key-compromise", 90, now() - timedelta(days=2))
    assert since_when(authority, certificate) == first.replace(microsecond=0)
    authority.revoke(authority.register.find(SITE.name, now()), "left", 90)
    (one,) = authority.register.issued()
    assert one.revoked and one.revoked.reason == "key-compromise", "no lesser reason takes its place"


@pytest.mark.parametrize("first", ["left", "key-compromise"])
def test_an_earlier_day_counts_for_what_is_revoked_already(authority: Authority, first: Reason) -> None:
    certificate, early = authority.issue(SITE, KEY, 90), (now() - timedelta(days=5)).replace(microsecond=0)
    authority.revoke(authority.register.find(SITE.name, now()), first, 90)
    for since in (early, early + timedelta(days=2)):
        authority.revoke(authority.register.find(SITE.name, now()), "left", 90, since)
        assert since_when(authority, certificate) == early
    (one,) = authority.register.issued()
    assert one.revoked and one.revoked.reason == first


def test_by_name_all_good_certificates_are_meant_and_by_serial_one(authority: Authority) -> None:
    old, new = authority.issue(SITE, KEY, 90), authority.issue(SITE, KEY, 90)
    register = authority.register
    assert [one.certificate for one in register.find("hospital-a", now())] == [old, new]
    (by_serial,) = register.find(f"{old.serial_number:x}", now())
    assert by_serial.certificate == old
    authority.revoke((by_serial,), "superseded", 90)
    assert [one.certificate for one in register.find("hospital-a", now())] == [new]
    (again,) = register.find(by_serial.serial, now())
    assert again.certificate == old and again.revoked
    with pytest.raises(ConsortiumError, match="no valid certificate"):
        register.find("hospital-z", now())


def test_an_adopted_key_signs_as_before(authority: Authority) -> None:
    """The key file is one that OpenSSL and other tools open with the passphrase."""
    content = (authority.folder / KEY_FILE).read_bytes()
    key = serialization.load_pem_private_key(content, PASSPHRASE.encode())
    assert key.public_key() == authority.certificate.public_key()


@pytest.mark.parametrize("line", [{"event": "revoked"}, {"event": "issued", "kind": "site", "certificate": {}}])
def test_a_line_of_no_version_that_is_known_is_said(authority: Authority, line: dict[str, object]) -> None:
    Chain(authority.folder / "register" / "certificates.jsonl").append(line)
    with pytest.raises(ConsortiumError, match="not of this version"):
        Register(authority.folder).issued()
