"""From one root to the next: everybody moves on their own day, accepts everybody else, and then the old one is gone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from nvflare.lighter.utils import verify_cert_chain

from fedvoxel.errors import ConsortiumError, PackageError, UpdateError
from fedvoxel.export.signature import sign, verify
from fedvoxel.export.trust import read_trust
from fedvoxel.governance import certificate_form as form
from fedvoxel.governance.authority import Authority, Root, written
from fedvoxel.governance.authority_store import open_authority
from fedvoxel.governance.certificate_request import key_bytes
from fedvoxel.governance.fetched_list import take_up_list
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.kit import Kit, ServerAddress
from fedvoxel.governance.renewal import renew, take_up
from fedvoxel.governance.rotation import begin_rotation, finish_rotation, late_holders, take_up_roots
from fedvoxel.governance.watched_list import WatchedList
from fedvoxel.records.identity import load_identity, load_root
from fedvoxel.records.revocation import read_lists
from fedvoxel.updates.secure.identity import Signers
from tests.governance.quick_authority import PASSPHRASE, quick_authority

SITE, LEAD = Holder("hospital-a", "hospital_a", "site"), Holder("lead@a.example", "hospital_a", "person", "lead")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rotation in three folders: before, under way, and finished; each can be opened."""
    folder = tmp_path_factory.mktemp("rotation")
    authority = quick_authority(folder / "ca")
    authority.issue(SITE, KEY.public_key(), 90)
    authority.issue(LEAD, KEY.public_key(), 90)
    return folder


def kit_of(authority: Authority, folder: Path, certificate: x509.Certificate) -> Kit:
    startup = folder / "startup"
    startup.mkdir(parents=True)
    (startup / "client.crt").write_bytes(written(authority.folder, certificate))
    (startup / "client.key").write_bytes(key_bytes(KEY))
    for name in ("rootCA.pem", "crl.pem"):
        (startup / name).write_bytes((authority.folder / name).read_bytes())
    return Kit(folder, "site", "hospital-a", "hospital_a", ServerAddress("h", 1, "http"), "small")


@pytest.mark.usefixtures("owners_umask")
def test_a_rotation_from_beginning_to_end(folder: Path, tmp_path: Path) -> None:
    old = open_authority(folder / "ca", folder / "ca", PASSPHRASE)
    before = kit_of(old, tmp_path / "before", old.register.issued()[0].certificate)
    both = begin_rotation(old, old.folder, PASSPHRASE, 3650, 90)
    assert [root.certificate.subject.rfc4514_string() for root in both.roots] == ["CN=small", "CN=small 2"]
    assert len(open_authority(both.folder, both.folder, PASSPHRASE).roots) == 2
    assert late_holders(both) == ["hospital-a", "lead@a.example"]
    with pytest.raises(ConsortiumError, match="would be cut off"):
        finish_rotation(both, both.folder, PASSPHRASE, 90)
    with pytest.raises(ConsortiumError, match="two roots already"):
        begin_rotation(both, both.folder, PASSPHRASE, 3650, 90)

    _who_trusts_the_old_root_only_accepts_the_new_certificate(before, both)
    _a_kit_follows(before, both)
    _both_lists_count(both, tmp_path)

    renew(both, LEAD, 100)
    cross = (both.folder / "crossCA.pem").read_bytes()
    one = finish_rotation(both, both.folder, PASSPHRASE, 90)
    assert [root.certificate.subject.rfc4514_string() for root in one.roots] == ["CN=small 2"]
    assert take_up_roots(before, (one.folder / "rootCA.pem").read_bytes(), cross)
    assert take_up_list(before, one.list_file.read_bytes())
    assert is_for_everybody(before.startup / "crl.pem") and is_for_everybody(one.list_file)
    assert len(open_authority(one.folder, one.folder, PASSPHRASE).roots) == 1
    assert (one.folder / "rootCA.key").read_bytes().count(b"BEGIN ENCRYPTED") == 1
    _what_was_signed_before_is_still_looked_at(one, old, tmp_path)


def is_for_everybody(path: Path) -> bool:
    """Says whether other accounts, clinicians' for example, can check signatures with a file."""
    return path.stat().st_mode & 0o777 == 0o644


def _who_trusts_the_old_root_only_accepts_the_new_certificate(kit: Kit, both: Authority) -> None:
    """FLARE's check (of the first root in the file), ours of signatures between sites, and of packages."""
    new = renew(both, SITE, 100)
    content = written(both.folder, new.certificate)
    leaf, cross = x509.load_pem_x509_certificates(content)
    old_root, new_root = (root.certificate for root in both.roots)
    for trusted in (old_root, new_root):
        verify_cert_chain(leaf, [cross], trusted)
    assert take_up(kit, content)
    assert is_for_everybody(kit.certificate)
    identity = load_identity(kit.startup)
    signed = identity.sign(b"content")
    Signers(old_root).check_signed("hospital-a", identity.certificate, b"content", signed)
    now = datetime.now(UTC)
    (kit.startup / "crl.pem").write_bytes(both.list_file.read_bytes())
    lists = read_lists(kit.startup / "crl.pem")
    Signers(old_root, lists).check_signed("hospital-a", identity.certificate, b"content", signed)
    with pytest.raises(UpdateError, match="says nothing of the root"):
        Signers(old_root, lists[:1]).check_signed("hospital-a", identity.certificate, b"content", signed)
    trust = read_trust(kit.folder)
    assert verify(sign(identity, "test", b"content", now), "test", b"content", trust, now).name == "hospital-a"


def _a_kit_follows(kit: Kit, both: Authority) -> None:
    roots, cross = (both.folder / "rootCA.pem").read_bytes(), (both.folder / "crossCA.pem").read_bytes()
    with pytest.raises(ConsortiumError, match="no root of this kit vouches"):
        take_up_roots(kit, roots, b"")
    assert take_up_roots(kit, roots, cross) and not take_up_roots(kit, roots, cross)
    assert is_for_everybody(kit.root_certificate)
    assert is_for_everybody(both.folder / "rootCA.pem") and is_for_everybody(both.folder / "crossCA.pem")
    assert load_root(kit.root_certificate) == both.roots[0].certificate, "FLARE looks at the first"


def _both_lists_count(both: Authority, tmp_path: Path) -> None:
    """A certificate of either root can be revoked, and the server's guard knows both."""
    victims = [
        Authority(both.folder, roots).issue(SITE, KEY.public_key(), 50) for roots in (both.roots[:1], both.roots)
    ]
    kit = kit_of(both, tmp_path / "victim", victims[1])
    now = datetime.now(UTC) + timedelta(minutes=1)
    made = sign(load_identity(kit.startup), "test", b"content", now)
    assert verify(made, "test", b"content", read_trust(kit.folder), now)
    by_serial = {one.certificate.serial_number: one for one in both.register.issued()}
    both.revoke(tuple(by_serial[one.serial_number] for one in victims), "left", 90)
    (kit.startup / "crl.pem").write_bytes(both.list_file.read_bytes())
    with pytest.raises(PackageError, match="already revoked"):
        verify(made, "test", b"content", read_trust(kit.folder), now)
    forged = quick_authority(tmp_path / "forger", number=1)
    forger = Authority(forged.folder, (both.roots[0], Root(both.certificate, forged.key)))
    forger.sign_list(90)
    (kit.startup / "crl.pem").write_bytes(forger.list_file.read_bytes())
    with pytest.raises(ConsortiumError, match="not signed by this root"):
        verify(made, "test", b"content", read_trust(kit.folder), now)
    (kit.startup / "crl.pem").write_bytes(both.list_file.read_bytes())
    watched = WatchedList(kit.startup, tmp_path / "state")
    watched.look()
    assert watched.trouble is None and watched.revoked == {one.serial_number for one in victims}
    (kit.startup / "crl.pem").write_bytes(
        both.list_file.read_bytes().split(b"-----BEGIN")[1].join([b"-----BEGIN", b""])
    )
    watched.look()
    assert watched.trouble, "a list of one of two roots is not enough"
    with pytest.raises(ConsortiumError, match="nothing of the consortium's newer root"):
        verify(made, "test", b"content", read_trust(kit.folder), now)


def _what_was_signed_before_is_still_looked_at(one: Authority, old: Authority, tmp_path: Path) -> None:
    certificate = old.register.issued()[1].certificate
    kit = kit_of(one, tmp_path / "signer", certificate)
    now = datetime.now(UTC)
    made = sign(load_identity(kit.startup), "test", b"content", now)
    with pytest.raises(PackageError, match="another consortium"):
        verify(made, "test", b"content", read_trust(kit.folder), now)
    (former,) = (path for path in (one.folder / "former").iterdir() if not path.name.endswith(".crl.pem"))
    trust = read_trust(former, former.with_suffix(".crl.pem"))
    assert verify(made, "test", b"content", trust, now + timedelta(days=200)).name == LEAD.name


def test_another_authoritys_root_is_never_taken_up(tmp_path: Path) -> None:
    """Not even with a cross certificate that some other root has signed."""
    own, other = quick_authority(tmp_path / "own"), quick_authority(tmp_path / "other", number=1)
    kit = kit_of(own, tmp_path / "kit", own.issue(SITE, KEY.public_key(), 90))
    strange = other.certificate.public_bytes(serialization.Encoding.PEM)
    for roots in (strange, kit.root_certificate.read_bytes() + strange):
        for cross in (b"", strange):
            with pytest.raises(ConsortiumError, match="vouches"):
                take_up_roots(kit, roots, cross)
    with pytest.raises(ConsortiumError, match="something else"):
        take_up_roots(kit, b"rubbish", b"")


def test_a_hospitals_own_certificate_vouches_for_no_root_of_its_making(tmp_path: Path) -> None:
    """Such a root has the name and the key of the certificate, which the consortium's root has issued."""
    own = quick_authority(tmp_path / "own")
    leaf = own.issue(SITE, KEY.public_key(), 90)
    kit = kit_of(own, tmp_path / "kit", leaf)
    now = datetime.now(UTC)
    builder = form.builder(leaf.subject, leaf.subject, KEY.public_key(), KEY, now, now + timedelta(days=9))
    forged = form.as_authority(builder).sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(ConsortiumError, match="vouches"):
        take_up_roots(kit, kit.root_certificate.read_bytes() + forged, leaf.public_bytes(serialization.Encoding.PEM))


def test_nothing_is_finished_that_was_not_begun(tmp_path: Path) -> None:
    authority = quick_authority(tmp_path / "ca")
    with pytest.raises(ConsortiumError, match="one root only"):
        finish_rotation(authority, authority.folder, PASSPHRASE, 90)
