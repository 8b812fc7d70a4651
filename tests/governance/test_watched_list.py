"""A server's revocation list: a good new one is taken over, a bad one never lets a revoked certificate back in."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.fetched_list import take_up_list
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.kit import Kit, ServerAddress
from fedvoxel.governance.shut_out import Arrivals, read_shut_out
from fedvoxel.governance.watched_list import WatchedList
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
