"""Certificates, keys and roots that do not belong together, or not any more, are found offline."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes

from fedvoxel.governance.certificates import check_certificates
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.fetched_list import take_up_list
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.kit import Kit, open_kit
from fedvoxel.records.identity import algorithm_of, has_signed
from tests.consortium_kits import SERVER, small_consortium
from tests.governance.quick_authority import quick_authority

Copy = Callable[[str], Kit]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    """Another consortium, with a certificate authority of its own."""
    return small_consortium(tmp_path_factory.mktemp("other"))


def _errors(kit: Kit, **arguments: datetime) -> list[str]:
    return [finding.message for finding in check_certificates(kit, **arguments) if finding.level == "error"]


@pytest.mark.parametrize("name", ["hospital-a", SERVER, "scientist@consortium.example"])
def test_a_new_kit_is_in_order(kit: Copy, name: str) -> None:
    assert {finding.level for finding in check_certificates(kit(name))} == {"ok"}


def test_an_expired_certificate_is_refused_and_a_late_one_warned_of(kit: Copy) -> None:
    site = kit("hospital-a")
    assert all("expired on" in message for message in _errors(site, now=datetime.now(UTC) + timedelta(days=91)))
    soon = check_certificates(site, now=datetime.now(UTC) + timedelta(days=70))
    assert [finding.level for finding in soon if "expires in" in finding.message] == ["warning"]
    assert [finding.level for finding in soon if "revocation list ends" in finding.message] == ["warning"]


def test_a_revoked_certificate_and_a_bad_list_are_told(kit: Copy, tmp_path: Path) -> None:
    site, server = kit("hospital-a"), kit(SERVER)
    authority = quick_authority(tmp_path / "ca")
    issued = authority.issue(Holder("hospital-a", "hospital_a", "site"), _public_key(site), 90)
    for name, content in (("rootCA.pem", authority.certificate), ("client.crt", issued)):
        (site.startup / name).write_bytes(content.public_bytes(serialization.Encoding.PEM))
    shutil.copy(authority.list_file, site.startup)
    assert {finding.level for finding in check_certificates(site)} == {"ok"}
    authority.revoke(authority.register.issued(), "left", 90)
    shutil.copy(authority.list_file, site.startup)
    assert any("is revoked" in message for message in _errors(site))
    take_up_list(site, authority.list_file.read_bytes())
    (site.startup / "crl.pem").unlink()
    assert ["is gone" in each.message for each in check_certificates(site) if each.level == "warning"] == [True]
    shutil.copy(authority.list_file, server.startup)
    assert any("not signed by this root" in message for message in _errors(server))
    (server.startup / "crl.pem").unlink()
    assert any("lets nobody in" in message for message in _errors(server))


def _public_key(kit: Kit) -> CertificateIssuerPublicKeyTypes:
    key = serialization.load_pem_private_key(kit.private_key.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.public_key()


def test_a_clock_that_is_behind_is_named(kit: Copy) -> None:
    assert any("clock" in message for message in _errors(kit("hospital-a"), now=datetime(2020, 1, 1, tzinfo=UTC)))


def test_another_consortiums_certificate_is_refused(kit: Copy, other: Consortium) -> None:
    site = kit("hospital-a")
    shutil.copy(other.kit("hospital-a") / "startup" / "rootCA.pem", site.startup)
    assert any("another consortium's" in message for message in _errors(site))


def test_a_key_of_someone_else_is_refused(kit: Copy, consortium: Consortium) -> None:
    site = kit("hospital-a")
    shutil.copy(consortium.kit("hospital-b") / "startup" / "client.key", site.startup)
    assert any("does not belong to" in message for message in _errors(site))


def test_a_certificate_with_a_key_of_an_unknown_kind_is_refused(kit: Copy) -> None:
    site = kit("hospital-a")
    path = site.startup / "client.crt"
    der = bytearray(x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(serialization.Encoding.DER))
    place = der.rindex(bytes.fromhex("2a864886f70d010101"))  # rsaEncryption
    der[place + 8] = 0x7F
    path.write_bytes(x509.load_der_x509_certificate(bytes(der)).public_bytes(serialization.Encoding.PEM))
    assert any("key of a kind that is not known" in message for message in _errors(site))
    assert algorithm_of(x509.load_der_x509_certificate(bytes(der))) is None
    assert not has_signed(x509.load_der_x509_certificate(bytes(der)), b"", "00")


def test_a_key_that_others_can_read_is_refused(kit: Copy) -> None:
    site = kit("hospital-a")
    site.private_key.chmod(0o644)
    assert _errors(site) == ["startup/client.key can be read by others; run: chmod 600 startup/client.key"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("client.key", None, "client.key is missing"),
        ("client.key", "no key", "not a PEM private key"),
        ("rootCA.pem", None, "rootCA.pem is missing"),
        ("rootCA.pem", "no certificate", "rootCA.pem is not a PEM certificate"),
    ],
)
def test_missing_and_broken_files_are_named(kit: Copy, name: str, content: str | None, complaint: str) -> None:
    site = kit("hospital-a")
    path = site.startup / name
    path.unlink()
    if content is not None:
        path.touch(mode=0o600)
        path.write_text(content)
    assert any(complaint in message for message in _errors(site))


def test_a_script_that_claims_another_name_is_refused(kit: Copy) -> None:
    site = kit("hospital-a")
    script = site.startup / "sub_start.sh"
    script.write_text(script.read_text().replace("uid=hospital-a", "uid=hospital-b"))
    assert any("starts hospital-b" in message for message in _errors(site))


def test_a_renamed_folder_is_still_the_same_kit(kit: Copy, tmp_path: Path) -> None:
    moved = open_kit(Path(shutil.move(kit("hospital-a").folder, tmp_path / "elsewhere")))
    assert moved.name == "hospital-a"
    assert _errors(moved) == []
