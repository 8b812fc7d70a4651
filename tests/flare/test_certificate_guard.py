"""The server's guard: what is revoked is out on a full disk too, and where no connection is cut."""

import errno
import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from nvflare.fuel.f3.message import Message
from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.proto import ProtoKey
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.fuel.hci.server.login import LoginModule, SessionManager
from nvflare.private.defs import CellMessageHeaderKeys
from nvflare.private.fed.utils.identity_utils import IdentityAsserter

from fedvoxel.flare.certificate_guard import _Guard
from fedvoxel.governance.authority import Authority
from fedvoxel.governance.certificate_request import key_bytes
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.shut_out import Arrivals
from fedvoxel.governance.watched_list import WatchedList
from fedvoxel.records import atomic
from fedvoxel.records.audit import AuditLog
from tests.governance.quick_authority import quick_authority

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class FakeLine:
    """A connection that was made with a certificate."""

    def __init__(self, serial_number: int) -> None:
        self.closed = False
        shown = {"peercert": {"serialNumber": f"{serial_number:X}"}}
        self.conn = SimpleNamespace(websocket=SimpleNamespace(get_extra_info=shown.get), close=self._close)

    def _close(self) -> None:
        self.closed = True


class FakeServer:
    """What the guard touches of FLARE's server."""

    def __init__(self, listener: ssl.SSLContext, lines: dict[str, FakeLine]) -> None:
        connector = SimpleNamespace(driver=SimpleNamespace(ssl_context=listener))
        manager = SimpleNamespace(connectors={"c": connector}, sfm_conns=lines)
        self.cell = SimpleNamespace(core_cell=SimpleNamespace(communicator=SimpleNamespace(conn_manager=manager)))
        clients = {"token": SimpleNamespace(name="hospital-a")}
        self.client_manager = SimpleNamespace(get_clients=lambda: clients)
        self.admin_server: Any = None
        self.cred_keeper, self.gone = SimpleNamespace(id_asserter=None), list[str]()

    def logout_client(self, token: str) -> None:
        self.gone.append(token)


def startup_of(authority: Authority, folder: Path) -> Path:
    startup = folder / "startup"
    startup.mkdir()
    certificate = authority.issue(Holder("fl.example", "org", "server"), KEY.public_key(), 90)
    (startup / "server.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (startup / "server.key").write_bytes(key_bytes(KEY))
    shutil.copy(authority.folder / "rootCA.pem", startup)
    shutil.copy(authority.list_file, startup)
    return startup


def message_of(name: str) -> Message:
    return Message({CellMessageHeaderKeys.CLIENT_NAME: name}, None)


@contextmanager
def full_disk() -> Iterator[None]:
    def put_in_place(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "_put_in_place", put_in_place)
        yield


def test_a_revocation_is_in_force_on_a_full_disk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = quick_authority(tmp_path / "ca")
    startup, state = startup_of(authority, tmp_path), tmp_path / "state"
    site = authority.issue(Holder("hospital-a", "org", "site"), KEY.public_key(), 90)
    line, listener = FakeLine(site.serial_number), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server, arrivals = FakeServer(listener, {"1": line}), Arrivals(state)
    services: Any = server
    guard = _Guard(services, WatchedList(startup, state), arrivals, AuditLog(state), startup)
    arrivals.came("hospital-a", site.serial_number, ())

    with full_disk():
        guard.look()
    assert not line.closed and guard.filter(message_of("hospital-a")) is None
    assert listener.cert_store_stats()["crl"] == 1, "handshakes go by the list, of which there is no copy"

    authority.revoke(authority.register.find("hospital-a", datetime.now(UTC)), "left", 90)
    shutil.copy(authority.list_file, startup)
    with full_disk():
        guard.look()
        guard.look()
    assert line.closed and "token" in server.gone and guard.filter(message_of("hospital-a")) is not None
    assert listener.cert_store_stats()["crl"] == 2
    assert caplog.text.count("event=revocation_unwritten") == 1 and "No space left" in caplog.text


def test_a_revoked_persons_token_makes_no_session_again(tmp_path: Path) -> None:
    """With gRPC no connection is cut, and FLARE makes an ended session anew of the token of the next command."""
    authority = quick_authority(tmp_path / "ca")
    startup, state = startup_of(authority, tmp_path), tmp_path / "state"
    server, arrivals = FakeServer(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), {}), Arrivals(state)
    services: Any = server
    guard = _Guard(services, WatchedList(startup, state), arrivals, AuditLog(state), startup)
    sessions = SessionManager(SimpleNamespace(fire_and_forget=lambda **_: None))
    asserter = IdentityAsserter(str(startup / "server.key"), str(startup / "server.crt"))
    server.admin_server = SimpleNamespace(sess_mgr=sessions, cred_keeper=SimpleNamespace(id_asserter=None))
    login, tokens = LoginModule(sessions), {}
    for name in ("lead@a.example", "member@a.example"):
        person = authority.issue(Holder(name, "a", "person", "lead"), KEY.public_key(), 90)
        arrivals.came(name, person.serial_number, ())
        tokens[name] = sessions.create_session(name, "a", "lead", "_admin_1").make_token(asserter)

    def goes_on(name: str) -> bool:
        conn = Connection()
        conn.set_prop(ConnProps.REQUEST, Message({}, None))
        conn.set_prop(ConnProps.HCI_SERVER, SimpleNamespace(get_id_asserter=lambda: asserter))
        conn.request = {ProtoKey.DATA: [{ProtoKey.TYPE: ProtoKey.TOKEN, ProtoKey.DATA: tokens[name]}]}
        return bool(login.pre_command(conn, ["list_jobs"]))

    guard.look()
    assert [goes_on(name) for name in tokens] == [True, True]
    authority.revoke(authority.register.find("lead@a.example", datetime.now(UTC)), "left", 90)
    shutil.copy(authority.list_file, startup)
    guard.look()
    sessions.sessions.clear()  # as after a restart of the server: the others go on with their tokens
    assert [goes_on(name) for name in tokens] == [False, True]
    sessions.shutdown()
