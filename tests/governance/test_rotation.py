"""From one root to the next: everybody moves on their own day, accepts everybody else, and then the old one is gone."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from nvflare.lighter.utils import verify_cert_chain

from fedvoxel.errors import ConsortiumError, PackageError, UpdateError
from fedvoxel.export.signature import sign, verify
from fedvoxel.export.trust import read_trust
from fedvoxel.governance import authority_store
from fedvoxel.governance import certificate_form as form
from fedvoxel.governance.answer import install_answer, pack_answer
from fedvoxel.governance.authority import Authority, Root, written
from fedvoxel.governance.authority_store import open_authority
from fedvoxel.governance.certificate_request import certificate_fingerprint, key_bytes
from fedvoxel.governance.certificates import check_certificates
from fedvoxel.governance.fetched_list import take_up_list
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.kit import Kit, ServerAddress
from fedvoxel.governance.renewal import renew, take_up
from fedvoxel.governance.rotation import begin_rotation, finish_rotation, late_holders, take_up_roots
from fedvoxel.governance.watched_list import WatchedList
from fedvoxel.records import atomic
from fedvoxel.records.identity import load_identity, load_root, load_roots
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
    assert begin_rotation(both, both.folder, PASSPHRASE, 3650, 90).roots == both.roots, "said again, no third root"

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


# ------------------------------------------------------------------ joining meanwhile


def answer_during(both: Authority, folder: Path) -> Path:
    """Packs an answer for hospital-a, as small as a kit can be, of an authority whose root changes."""
    kit = kit_of(both, folder / "kit", both.issue(SITE, KEY.public_key(), 90))
    shutil.copy(both.folder / "crossCA.pem", kit.startup)
    server = '{"servers": [{"name": "small", "service": {"target": "h:1", "scheme": "http"}, "identity": "h"}]}'
    (kit.startup / "fed_client.json").write_text(server)
    (kit.folder / "local").mkdir()
    (kit.folder / "local" / "environment").write_text("")
    shutil.move(kit.private_key, folder / "own.key")
    return repacked(folder)


def repacked(folder: Path) -> Path:
    pack_answer(folder / "kit", folder / "hospital-a.kit.zip")
    return folder / "hospital-a.kit.zip"


def install(folder: Path, told: x509.Certificate) -> Kit:
    key, fingerprint = folder / "own.key", certificate_fingerprint(told)
    return install_answer(folder / "hospital-a.kit.zip", key, fingerprint, folder / "installed")


@pytest.fixture
def both(tmp_path: Path) -> Authority:
    """An authority whose root changes."""
    old = quick_authority(tmp_path / "ca")
    return begin_rotation(old, old.folder, PASSPHRASE, 3650, 90)


def test_a_hospital_joins_while_the_root_changes_by_the_old_roots_fingerprint(both: Authority, tmp_path: Path) -> None:
    answer_during(both, tmp_path)
    old_root, new_root = (root.certificate for root in both.roots)
    with pytest.raises(ConsortiumError, match=r"another fingerprint.*for the old one's"):
        install(tmp_path, new_root)
    kit = install(tmp_path, old_root)
    assert load_roots(kit.root_certificate) == (old_root, new_root)
    assert not [found for found in check_certificates(kit) if found.level == "error"]


def test_a_strange_root_beside_the_one_that_was_told_is_refused(both: Authority, tmp_path: Path) -> None:
    """Whoever has the answer on its way, which is no secret, could put a root of their own beside the true one."""
    answer_during(both, tmp_path)
    old_root, new_root = (root.certificate.public_bytes(serialization.Encoding.PEM) for root in both.roots)
    strange = quick_authority(tmp_path / "strange", number=1).certificate
    startup, pem = tmp_path / "kit" / "startup", strange.public_bytes(serialization.Encoding.PEM)
    for roots, cross in (
        (old_root + new_root, b""),
        (old_root + pem, both.folder.joinpath("crossCA.pem").read_bytes()),
        (old_root + new_root + pem, both.folder.joinpath("crossCA.pem").read_bytes() + pem),
    ):
        (startup / "rootCA.pem").write_bytes(roots)
        (startup / "crossCA.pem").write_bytes(cross)
        if not cross:
            (startup / "crossCA.pem").unlink()
        repacked(tmp_path)
        with pytest.raises(ConsortiumError, match="vouches for"):
            install(tmp_path, both.roots[0].certificate)
    assert not (tmp_path / "installed").exists()


def test_each_root_has_its_own_list_in_an_answer(both: Authority, tmp_path: Path) -> None:
    answer_during(both, tmp_path)
    old_list = Authority(both.folder, both.roots[:1])
    old_list.sign_list(90)
    shutil.copy(both.list_file, tmp_path / "kit" / "startup")
    repacked(tmp_path)
    with pytest.raises(ConsortiumError, match="not signed by this root"):
        install(tmp_path, both.roots[0].certificate)


# ------------------------------------------------------------------ power cuts


@pytest.mark.parametrize("cut_at", ["rootCA.pem", "crl.pem", "rootCA.key"])
def test_a_finish_that_is_cut_off_is_said_again(both: Authority, cut_at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was written last, the authority opens, and ends with one root and one key."""
    put_in_place = atomic._put_in_place

    def cut_off(stream: IO[bytes], temporary: Path, path: Path) -> None:
        if path.name == cut_at:
            raise OSError("cut off")
        put_in_place(stream, temporary, path)

    with monkeypatch.context() as cut:
        cut.setattr(atomic, "_put_in_place", cut_off)
        with pytest.raises(OSError, match="cut off"):
            finish_rotation(both, both.folder, PASSPHRASE, 90)
    opened = open_authority(both.folder, both.folder, PASSPHRASE)
    assert opened.certificate == both.certificate
    one = finish_rotation(opened, both.folder, PASSPHRASE, 90)
    assert len(open_authority(one.folder, one.folder, PASSPHRASE).roots) == len(read_lists(one.list_file)) == 1
    assert (one.folder / "rootCA.key").read_bytes().count(b"BEGIN ENCRYPTED") == 1
    number = one.register.lists()
    assert finish_rotation(one, one.folder, PASSPHRASE, 90).roots == one.roots, "the kits may not have it yet"
    assert one.register.lists() == number + 1


def test_a_beginning_that_is_cut_off_before_its_lists_is_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = quick_authority(tmp_path / "ca")

    def cut_off(*args: object) -> None:
        raise OSError("cut off")

    with monkeypatch.context() as cut:
        cut.setattr(Authority, "sign_list", cut_off)
        with pytest.raises(OSError, match="cut off"):
            begin_rotation(old, old.folder, PASSPHRASE, 3650, 90)
    opened = open_authority(old.folder, old.folder, PASSPHRASE)
    again = begin_rotation(opened, old.folder, PASSPHRASE, 3650, 90)
    assert len(again.roots) == len(read_lists(again.list_file)) == 2
    (again.folder / "crossCA.pem").unlink()
    with pytest.raises(ConsortiumError, match="two roots already"):
        begin_rotation(again, old.folder, PASSPHRASE, 3650, 90)


def test_a_beginning_that_is_cut_off_is_not_finished_but_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = quick_authority(tmp_path / "ca")

    def cut_off(*args: object) -> None:
        raise OSError("cut off")

    with monkeypatch.context() as cut:
        cut.setattr(authority_store, "write_public", cut_off)
        with pytest.raises(OSError, match="cut off"):
            begin_rotation(old, old.folder, PASSPHRASE, 3650, 90)
    opened = open_authority(old.folder, old.folder, PASSPHRASE)
    with pytest.raises(ConsortiumError, match="one root only"):
        finish_rotation(opened, old.folder, PASSPHRASE, 90)
    assert len(begin_rotation(opened, old.folder, PASSPHRASE, 3650, 90).roots) == 2


def test_nothing_is_finished_that_was_not_begun(tmp_path: Path) -> None:
    authority = quick_authority(tmp_path / "ca")
    with pytest.raises(ConsortiumError, match="one root only"):
        finish_rotation(authority, authority.folder, PASSPHRASE, 90)
