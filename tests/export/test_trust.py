"""A certificate counts as of the time of signing, if it is a person's or a site's of the reader's own consortium."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fedvoxel.errors import ConsortiumError, PackageError
from fedvoxel.export.package import open_package
from fedvoxel.export.signature import sign, verify
from fedvoxel.export.trust import Role, Signer, Trust, read_trust
from fedvoxel.governance import consortium_file
from fedvoxel.records.identity import Identity, load_identity
from tests.consortium_kits import small_consortium
from tests.export.package_sample import sample_package, sample_root, sample_signer
from tests.export.throwaway_root import DAY, NOW, Root, serial_of

MINUTE = timedelta(minutes=1)


def signer(identity: Identity, trust: Trust, at: datetime = NOW, now: datetime = NOW + 200 * DAY) -> Signer:
    """Has an identity sign, and returns whom a reader finds."""
    return verify(sign(identity, "test", b"content", at), "test", b"content", trust, now)


def refused(identity: Identity, words: str, trust: Trust | None = None, at: datetime = NOW, **when: Any) -> None:
    with pytest.raises(PackageError, match=words):
        signer(identity, trust or Trust(sample_root().certificate), at, **when)


# ------------------------------------------------------------------ who


@pytest.mark.parametrize("role", get_args(Role))
def test_people_and_sites_sign_with_either_kind_of_key(role: str) -> None:
    trust, key = Trust(sample_root().certificate), rsa.generate_private_key(public_exponent=65537, key_size=2048)
    person = signer(sample_root().issue("a@b.example", role, key=key), trust)
    assert (person.name, person.role, person.organisation) == ("a@b.example", role, "org")
    assert signer(sample_root().issue("hospital-a", None), trust).role is None


def test_the_roles_are_those_of_the_consortium_file() -> None:
    assert get_args(Role) == get_args(consortium_file.Role)


def test_kits_that_flare_makes_sign_and_the_servers_does_not(tmp_path: Path) -> None:
    consortium = small_consortium(tmp_path)
    trust = read_trust(consortium.kit("hospital-a"))
    now = datetime.now().astimezone()
    for name, role in (("hospital-a", None), ("scientist@consortium.example", "lead")):
        identity = load_identity(consortium.kit(name) / "startup")
        assert signer(identity, trust, now, now) == Signer(
            name, identity_organisation(identity), role, serial_of(identity)
        )
    with pytest.raises(ConsortiumError, match=r"client\.crt"):
        load_identity(consortium.server_kit / "startup")
    server = consortium.server_kit / "startup"
    key = serialization.load_pem_private_key((server / "server.key").read_bytes(), None)
    stolen = Identity("server", (server / "server.crt").read_text(), key, trust.root)
    refused(stolen, "a server", trust, now, now=now)


def identity_organisation(identity: Identity) -> str:
    return "consortium" if "@" in identity.name else "hospital_a"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "names nobody"),
        ({"name": "", "role": None}, "names nobody"),
        ({"name": "two\nlines", "hosts": ["a"]}, "names nobody"),
        ({"name": "server.consortium.example", "role": None}, "of a server"),
        ({"name": "server", "role": None, "hosts": ["server", "10.0.0.1"]}, "of a server"),
        ({"role": "superuser"}, "role that is not known"),
        ({"key": rsa.generate_private_key(public_exponent=65537, key_size=1024)}, "1024 bits"),  # noqa: S505
    ],
)
def test_who_is_no_person_and_no_site_is_refused(changes: dict[str, Any], words: str) -> None:
    refused(sample_root().issue(**changes), words)


def test_the_root_itself_does_not_sign() -> None:
    refused(sample_root().itself(), "root")


def test_another_consortiums_root_of_the_same_name_is_refused(tmp_path: Path) -> None:
    refused(sample_signer(), "another consortium", Trust(Root().certificate))
    path = sample_package(tmp_path).path
    with pytest.raises(PackageError, match="another consortium"):
        open_package(path, Trust(Root().certificate), NOW)


def test_a_certificate_that_another_certificate_issued_is_refused() -> None:
    middle = Root("middle")
    refused(middle.issue(), "another consortium")


# ------------------------------------------------------------------ when


def test_a_certificate_that_has_expired_since_does_not_spoil_what_it_signed() -> None:
    short = sample_root().issue(ends=NOW + MINUTE)
    assert signer(short, Trust(sample_root().certificate), NOW, NOW + 900 * DAY).name == short.name


def test_a_certificate_that_was_not_valid_then_is_refused() -> None:
    refused(sample_root().issue(ends=NOW - MINUTE), "when the certificate of lead@consortium.example was not valid")
    refused(sample_root().issue(begins=NOW + MINUTE), "was not valid")


def test_a_root_that_was_not_valid_then_is_refused() -> None:
    always = sample_root().issue(begins=NOW - 1000 * DAY, ends=NOW + 3000 * DAY)
    for at in (NOW - 101 * DAY, NOW + 1001 * DAY):
        refused(always, "when the root certificate was not valid", at=at, now=NOW + 2000 * DAY)


def test_a_signing_time_in_the_future_is_refused_beyond_five_minutes() -> None:
    signer(sample_signer(), Trust(sample_root().certificate), NOW + 5 * MINUTE, NOW)
    refused(sample_signer(), "in the future", at=NOW + 6 * MINUTE, now=NOW)


# ------------------------------------------------------------------ revoked


def listed(date: datetime, **when: Any) -> Trust:
    crl = sample_root().revocations({serial_of(sample_signer()): date}, **when)
    return Trust(sample_root().certificate, crl)


@pytest.mark.parametrize("earlier", [timedelta(0), MINUTE, 5 * DAY])
def test_who_was_revoked_by_then_is_refused(earlier: timedelta) -> None:
    refused(sample_signer(), "already revoked", listed(NOW - earlier), now=NOW)


def test_a_later_revocation_does_not_spoil_what_was_signed_before() -> None:
    assert signer(sample_signer(), listed(NOW + MINUTE), NOW, NOW + DAY).role == "lead"


def test_an_invalidity_date_counts_where_it_is_earlier() -> None:
    refused(sample_signer(), "already revoked", listed(NOW + DAY, invalid=NOW - MINUTE), now=NOW)
    refused(sample_signer(), "already revoked", listed(NOW, invalid=NOW + DAY), now=NOW)


def test_somebody_elses_revocation_does_not_matter() -> None:
    other = sample_root().revocations({4711: NOW - DAY})
    assert signer(sample_signer(), Trust(sample_root().certificate, other), NOW, NOW).role == "lead"


@pytest.mark.parametrize("when", [{"ends": NOW - MINUTE}, {"begins": NOW + 10 * MINUTE}])
def test_a_list_that_does_not_cover_the_present_is_refused(when: dict[str, datetime]) -> None:
    begins, ends = when.get("begins", NOW - DAY), when.get("ends", NOW + DAY)
    with pytest.raises(ConsortiumError, match="ask the operator for the newest"):
        signer(sample_signer(), listed(NOW + DAY, begins=begins, ends=ends), NOW, NOW)


def test_a_list_of_another_root_or_of_changes_only_is_refused() -> None:
    for crl in (Root().revocations({}), sample_root().revocations({}, whole=False)):
        with pytest.raises(ConsortiumError, match="revocation list"):
            Trust(sample_root().certificate, crl)


# ------------------------------------------------------------------ files


def test_root_and_list_are_read_from_files_or_a_kit(tmp_path: Path) -> None:
    root = tmp_path / "kit" / "startup" / "rootCA.pem"
    root.parent.mkdir(parents=True)
    root.write_bytes(sample_root().certificate.public_bytes(serialization.Encoding.PEM))
    crl = sample_root().revocations({})
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        (tmp_path / "list").write_bytes(crl.public_bytes(encoding))
        assert read_trust(root, tmp_path / "list").crl == crl
    assert read_trust(tmp_path / "kit") == Trust(sample_root().certificate)
    (tmp_path / "kit" / "startup" / "crl.pem").write_bytes(crl.public_bytes(serialization.Encoding.PEM))
    for root in (tmp_path / "kit", tmp_path / "kit" / "startup" / "rootCA.pem"):
        assert read_trust(root).crl == crl, "the kit's own, whichever way the kit's root is named"


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    root, other = tmp_path / "root.pem", tmp_path / "other"
    root.write_bytes(sample_root().certificate.public_bytes(serialization.Encoding.PEM))
    other.write_text("nothing")
    for arguments in ((other,), (tmp_path / "missing",), (root, other), (root, tmp_path / "missing")):
        with pytest.raises(ConsortiumError):
            read_trust(*arguments)


def test_a_certificate_that_issues_none_is_no_root() -> None:
    person = x509.load_pem_x509_certificate(sample_signer().certificate.encode())
    for certificate in (Root(authority=False).certificate, person):
        with pytest.raises(ConsortiumError, match=r"rootCA\.pem"):
            Trust(certificate)


def test_a_key_of_another_kind_does_not_sign() -> None:
    key: Any = ed25519.Ed25519PrivateKey.generate()
    certified = sample_root().issue(key=key)
    lent = Identity(certified.name, certified.certificate, ec.generate_private_key(ec.SECP256R1()), certified.root)
    refused(lent, "key is not for that")
