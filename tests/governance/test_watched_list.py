"""A server's revocation list: a good new one is taken over, a bad one never lets a revoked certificate back in."""

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fedvoxel.errors import ConsortiumError
from fedvoxel.flare.secure_round import signers_of
from fedvoxel.governance.fetched_list import take_up_list
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.kit import Kit, ServerAddress
from fedvoxel.governance.shut_out import Arrivals, read_shut_out
from fedvoxel.governance.watched_list import WatchedList
from fedvoxel.records import atomic
from tests.fuzz.der import pem, said_in, signed_anew, signs
from tests.governance.quick_authority import quick_authority

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()


class Server:
    """A server's `startup/` and `state/` beside an authority."""

    def __init__(self, folder: Path) -> None:
        self.startup, self.state = folder / "startup", folder / "state"
        self.startup.mkdir()
        self.authority = quick_authority(folder / "ca")
        self.crl = self.startup / "crl.pem"
        (self.startup / "rootCA.pem").write_bytes((folder / "ca" / "rootCA.pem").read_bytes())
        self.put()

    def put(self) -> bytes:
        self.crl.write_bytes(self.authority.list_file.read_bytes())
        return self.crl.read_bytes()

    def revoke(self, name: str) -> int:
        certificate = self.authority.issue(Holder(name, "org", "site"), KEY, 90)
        self.authority.revoke(self.authority.register.find(name, datetime.now(UTC)), "left", 90)
        return certificate.serial_number

    def watch(self) -> WatchedList:
        watched = WatchedList(self.startup, self.state)
        watched.look()
        return watched


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_a_new_list_is_taken_over_while_the_server_runs(server: Server) -> None:
    watched = server.watch()
    assert (watched.trouble, watched.revoked, watched.version) == (None, frozenset(), 1)
    serial = server.revoke("hospital-a")
    watched.look()
    assert watched.version == 1, "what is not in the kit is not in force"
    server.put()
    watched.look()
    assert (watched.trouble, watched.revoked, watched.version) == (None, {serial}, 2)
    watched.look()
    assert watched.version == 2


def _another_roots(server: Server, folder: Path) -> bytes:
    return quick_authority(folder / "other", number=1).list_file.read_bytes()


BAD: list[tuple[Callable[[Server, Path], bytes], str]] = [
    (lambda server, folder: b"", "got none"),
    (lambda server, folder: server.crl.read_bytes()[:300], "got none"),
    (lambda server, folder: b"-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----\n", "got none"),
    (_another_roots, "not signed by this root"),
    (lambda server, folder: _renamed(server.crl.read_bytes()), "not signed by this root"),
]


def _renamed(pem: bytes) -> bytes:
    """Changes a byte of the list's content, so that the signature does not fit."""
    from cryptography import x509

    crl = x509.load_pem_x509_crl(pem)
    der = crl.public_bytes(serialization.Encoding.DER)
    place = der.index(crl.tbs_certlist_bytes[-6:])
    return der[:place] + bytes([der[place] ^ 1]) + der[place + 1 :]


@pytest.mark.parametrize(("bad", "words"), BAD)
def test_a_bad_list_is_refused_and_the_last_good_one_stays_in_force_over_a_restart(
    server: Server, tmp_path: Path, bad: Callable[[Server, Path], bytes], words: str
) -> None:
    serial = server.revoke("hospital-a")
    good = server.put()
    watched = server.watch()
    server.crl.write_bytes(bad(server, tmp_path))
    watched.look()
    for seen in (watched, server.watch()):
        assert seen.trouble and words in seen.trouble
        assert seen.revoked == {serial}
    server.crl.write_bytes(good)
    watched.look()
    assert watched.trouble is None


def test_a_missing_list_is_refused(server: Server) -> None:
    server.crl.unlink()
    watched = server.watch()
    assert watched.trouble and not watched.kept.exists()


def test_an_older_list_is_refused_also_after_a_restart(server: Server) -> None:
    before = server.crl.read_bytes()
    serial = server.revoke("hospital-a")
    server.put()
    server.watch()
    server.crl.write_bytes(before)
    watched = server.watch()
    assert watched.trouble and "an older one (number 1) than the server has had (2)" in watched.trouble
    assert watched.revoked == {serial}


@pytest.mark.parametrize("days", [-1, 91])
def test_a_list_that_is_not_of_now_is_refused(server: Server, days: int) -> None:
    watched = WatchedList(server.startup, server.state)
    watched.look(datetime.now(UTC) + timedelta(days=days))
    assert watched.trouble and "not now" in watched.trouble


# ------------------------------------------------------------------ disks that are full or damaged


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Fills the disk when it is called."""

    def put_in_place(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    return lambda: monkeypatch.setattr(atomic, "_put_in_place", put_in_place)


def flip(path: Path) -> None:
    """Changes a byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x15
    path.write_bytes(content)


def test_a_new_list_is_in_force_on_a_full_disk_and_kept_once_there_is_room(
    server: Server, full_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, before = server.watch(), server.crl.read_bytes()
    serial, new = server.revoke("hospital-a"), server.put()
    full_disk()
    watched.look()
    assert (watched.trouble, watched.revoked, watched.version) == (None, {serial}, 2)
    assert watched.unkept and "No space left" in watched.unkept
    assert watched.in_force == server.crl and watched.kept.read_bytes() == before
    server.crl.write_bytes(before)
    watched.look()
    assert watched.trouble and "an older one" in watched.trouble and watched.revoked == {serial}
    monkeypatch.undo()
    watched.look()
    assert (watched.unkept, watched.version, watched.kept.read_bytes()) == (None, 2, new)


def test_secure_sums_go_by_a_list_that_a_full_disk_kept_out_of_the_copies(
    server: Server, full_disk: Callable[[], None]
) -> None:
    server.watch()
    serial = server.revoke("hospital-a")
    server.put()
    full_disk()
    (in_force,) = signers_of(server.startup, server.state).lists
    assert in_force.get_revoked_certificate_by_serial_number(serial)


def test_a_server_starts_with_a_full_disk_where_the_list_is_good(server: Server, full_disk: Callable[[], None]) -> None:
    serial = server.revoke("hospital-a")
    server.put()
    full_disk()
    watched = server.watch()
    assert (watched.trouble, watched.revoked, watched.in_force) == (None, {serial}, server.crl)
    assert watched.unkept and not watched.kept.exists()


def copies_of(server: Server) -> list[Path]:
    return sorted((server.state / "certificates").iterdir())


@pytest.mark.parametrize("damaged", [0, 1])
def test_one_copy_of_two_may_be_damaged(server: Server, damaged: int) -> None:
    old, serial = server.crl.read_bytes(), server.revoke("hospital-a")
    new = server.put()
    server.watch()
    flip(copies_of(server)[damaged])
    server.crl.write_bytes(old)
    watched = server.watch()
    assert watched.trouble and "an older one (number 1)" in watched.trouble
    assert watched.revoked == {serial} and watched.in_force is not None
    assert [path.read_bytes() for path in copies_of(server)] == [new, new], "mended"
    server.crl.write_bytes(new)
    watched.look()
    assert watched.trouble is None


def test_the_newer_copy_counts_where_a_power_cut_came_between_the_two(server: Server) -> None:
    server.watch()
    before = copies_of(server)[1].read_bytes()
    serial = server.revoke("hospital-a")
    server.put()
    server.watch()
    for behind in copies_of(server):
        behind.write_bytes(before)
        server.crl.write_bytes(before)
        assert server.watch().revoked == {serial}


def test_a_running_server_mends_its_copies(server: Server) -> None:
    watched, good = server.watch(), server.crl.read_bytes()
    for path in copies_of(server):
        flip(path)
    watched.look()
    assert watched.trouble is None and [path.read_bytes() for path in copies_of(server)] == [good, good]


def test_without_any_good_copy_nobody_is_let_in_and_the_remedy_is_named(server: Server) -> None:
    server.watch()
    for path in copies_of(server):
        flip(path)
    watched = server.watch()
    assert watched.trouble and "remove crl.pem and crl.copy.pem from state/certificates" in watched.trouble
    assert watched.in_force is None and watched.version == 0
    for path in copies_of(server):
        path.unlink()
    watched.look()
    assert watched.trouble is None and len(copies_of(server)) == 2


# ------------------------------------------------------------------ who is shut out


def test_who_came_with_a_revoked_certificate_is_out_until_they_come_with_another(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path)
    arrivals.came("hospital-a", 10, ())
    arrivals.came("hospital-b", 11, ())
    assert arrivals.judge({99}) == frozenset() == read_shut_out(tmp_path)
    assert arrivals.judge({10}) == {"hospital-a"} == arrivals.shut_out == read_shut_out(tmp_path)
    assert arrivals.judge({10}) == frozenset(), "told once"
    again = Arrivals(tmp_path)
    assert again.judge({10}) == {"hospital-a"}, "a restart forgets nobody"
    again.came("hospital-a", 12, {10})
    assert again.shut_out == frozenset() == read_shut_out(tmp_path)


def test_a_damaged_note_is_put_aside_with_an_alarm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Arrivals(tmp_path).came("hospital-a", 10, ())
    path = tmp_path / "certificates" / "seen.json"
    path.write_text("{")
    assert Arrivals(tmp_path).judge({10}) == frozenset()
    assert "arrivals_unreadable" in caplog.text and path.with_suffix(".damaged").exists()


def test_what_is_no_note_of_who_is_out_shuts_nobody_out_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "certificates" / "shut_out.json"
    path.parent.mkdir()
    os.mkfifo(path)
    assert read_shut_out(tmp_path) == frozenset()
    path.unlink()
    path.write_text("[" * 100_000)
    assert read_shut_out(tmp_path) == frozenset()
    assert caplog.text.count("event=shut_out_unreadable") == 2


def test_a_list_whose_extensions_cannot_be_read_is_not_relied_on(server: Server) -> None:
    """The root itself has signed it."""
    watched, (root,) = server.watch(), server.authority.roots
    der = x509.load_pem_x509_crl(server.crl.read_bytes()).public_bytes(serialization.Encoding.DER)
    said = bytearray(said_in(der))
    said[said.index(b"\x06\x03\x55\x1d\x14") + 7] = 5  # the list's number is no number
    server.crl.write_bytes(pem("X509 CRL", signed_anew(der, bytes(said), signs(root.key))))
    watched.look()
    assert watched.version == 1 and "not the root's whole list" in str(watched.trouble)


def test_who_is_revoked_is_out_on_a_full_disk_and_it_is_noted_once_there_is_room(
    tmp_path: Path, full_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals = Arrivals(tmp_path)
    arrivals.came("hospital-a", 10, ())
    full_disk()
    assert arrivals.judge({10}) == {"hospital-a"} == arrivals.shut_out
    assert arrivals.unwritten and "No space left" in arrivals.unwritten and read_shut_out(tmp_path) == frozenset()
    monkeypatch.undo()
    assert arrivals.judge({10}) == frozenset()
    assert arrivals.unwritten is None and read_shut_out(tmp_path) == {"hospital-a"}


def test_who_comes_with_another_certificate_is_let_in_only_once_that_is_noted(
    tmp_path: Path, full_disk: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    arrivals = Arrivals(tmp_path)
    arrivals.came("hospital-a", 10, ())
    full_disk()
    arrivals.came("hospital-a", 10, ())
    for _ in range(2):
        with pytest.raises(OSError, match="No space left"):
            arrivals.came("hospital-a", 12, ())
    monkeypatch.undo()
    arrivals.came("hospital-a", 12, ())
    assert Arrivals(tmp_path).judge({12}) == {"hospital-a"}


def test_a_damaged_note_of_who_is_out_is_written_again(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path)
    arrivals.came("hospital-a", 10, {10})
    path = tmp_path / "certificates" / "shut_out.json"
    for content in ("[", "7", '["hospital-a", "hospital-b"]'):
        for mending in (arrivals, Arrivals(tmp_path)):
            path.write_text(content)
            mending.judge({10})
            assert read_shut_out(tmp_path) == {"hospital-a"}


def test_a_sites_damaged_list_is_replaced_by_a_good_one(server: Server, tmp_path: Path) -> None:
    kit = Kit(tmp_path, "site", "hospital-a", "org", ServerAddress("h", 1, "http"), "small")
    good = server.crl.read_bytes()
    for damaged in (b"", good[:300], _renamed(good), _another_roots(server, tmp_path)):
        server.crl.write_bytes(damaged)
        assert take_up_list(kit, good)
        assert server.crl.read_bytes() == good


def test_a_site_takes_up_a_newer_list_only(server: Server, tmp_path: Path) -> None:
    kit = Kit(tmp_path, "site", "hospital-a", "org", ServerAddress("h", 1, "http"), "small")
    first = server.crl.read_bytes()
    server.revoke("hospital-b")
    second = server.authority.list_file.read_bytes()
    assert take_up_list(kit, second) and not take_up_list(kit, second)
    with pytest.raises(ConsortiumError, match="older"):
        take_up_list(kit, first)
    with pytest.raises(ConsortiumError, match="not signed"):
        take_up_list(kit, _another_roots(server, tmp_path))
    for rubbish in (b"", b"x" * 100):
        with pytest.raises(ConsortiumError, match="something else"):
            take_up_list(kit, rubbish)
    assert server.crl.read_bytes() == second
