"""The server's guard on a full disk: what is revoked is out all the same, and the log says what is not written."""

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
from nvflare.private.defs import CellMessageHeaderKeys

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
        self.admin_server, self.cred_keeper, self.gone = None, SimpleNamespace(id_asserter=None), list[str]()

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
