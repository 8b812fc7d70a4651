"""A site that listens: for whom, over what, and how much."""

import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom
import pytest
from pynetdicom import AE, evt

from fedvoxel.dicom.certificates import client_context
from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.pacs_config import DimseConfig, TlsFiles
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.sending import contexts_for
from fedvoxel.dicom.storage_scp import receiving
from fedvoxel.dicom.watch import Watch
from tests.orthanc import free_port
from tests.tls_files import Authority


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a site and its PACS, and of a stranger."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("ours", "theirs"):
        Authority(folder / name).issue("any")
    return folder


def config_of(**changed: Any) -> DimseConfig:
    files = {"ca": "ours/ca.pem", "certificate": "ours/any.pem", "key": "ours/any.key"}
    values = {
        "protocol": "dimse",
        "host": "127.0.0.1",
        "port": 104,
        "called_ae_title": "PACS",
        "calling_ae_title": "SITE",
        "retrieve": "move",
        "storage": {"port": free_port()},
        "tls": files,
        "timeout_s": 2,
        "limits": {"free_gib": 0, "instance_mib": 1},
    }
    return DimseConfig.model_validate(values | changed)


@pytest.fixture
def listening(base: Path, tmp_path: Path) -> Iterator[tuple[int, IncomingStore]]:
    config, store = config_of(), IncomingStore(tmp_path / "incoming")
    assert config.storage is not None
    with receiving(config, base, lambda content: store.take_pushed(content, config.limits), Watch(config)):
        yield config.storage.port, store


def push(port: int, base: Path, path: Path, who: str = "PACS", whom: str = "SITE", tls: str | None = "ours") -> int:
    """Pushes one file; -1 if there is no association, else the status, or -2 for none."""
    entity = AE(ae_title=who)
    entity.acse_timeout = entity.connection_timeout = entity.dimse_timeout = 3
    arguments = None
    if tls is not None:
        own = {} if tls == "nobody" else {"certificate": f"{tls}/any.pem", "key": f"{tls}/any.key"}
        arguments = (client_context(TlsFiles(ca="ours/ca.pem", **own), base), "127.0.0.1")
    with quiet():
        contexts = contexts_for([path])
        opened: list[socket.socket] = []  # pynetdicom leaves a connection open that the other side has cut
        handlers: list[Any] = [(evt.EVT_CONN_OPEN, lambda event: opened.append(event.assoc.dul.socket.socket))]
        association = entity.associate(
            "127.0.0.1", port, contexts, ae_title=whom, tls_args=arguments, evt_handlers=handlers
        )
        status = -1
        if association.is_established:
            status = int(association.send_c_store(path).get("Status", -2))
            association.release()
        for connection in opened:
            connection.close()
        return status


def test_a_push_is_kept(listening: tuple[int, IncomingStore], base: Path, head: list[Path]) -> None:
    port, store = listening
    assert [push(port, base, path) for path in (*head[:2], head[0])] == [0, 0, 0]
    assert len(list(store.folder.glob("*/*.dcm"))) == 2


@pytest.mark.parametrize(
    "how", [{"who": "STRANGER"}, {"whom": "ELSEWHERE"}, {"tls": None}, {"tls": "nobody"}, {"tls": "theirs"}]
)
def test_a_stranger_is_not_let_in(
    listening: tuple[int, IncomingStore], base: Path, head: list[Path], how: dict[str, Any]
) -> None:
    port, store = listening
    assert push(port, base, head[0], **how) == -1
    assert list(store.folder.iterdir()) == []
    assert push(port, base, head[0]) == 0


def test_one_address_only(listening: tuple[int, IncomingStore]) -> None:
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", listening[0]), timeout=2)


def test_a_caller_who_stalls_keeps_nobody_out(
    listening: tuple[int, IncomingStore], base: Path, head: list[Path]
) -> None:
    port, _ = listening
    with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
        began = time.monotonic()
        assert push(port, base, head[0]) == 0
        assert time.monotonic() - began < 1.5


def test_what_is_too_large_is_cut_before_it_has_come(base: Path, head: list[Path], tmp_path: Path) -> None:
    config, taken = config_of(), list[Sequence[bytes]]()
    assert config.storage is not None
    large = pydicom.dcmread(head[0])
    large.PixelData = large.PixelData * 700
    large.save_as(tmp_path / "large.dcm")
    with receiving(config, base, taken.append, Watch(config)):
        assert push(config.storage.port, base, tmp_path / "large.dcm") == -2
        assert taken == []
        assert push(config.storage.port, base, head[0]) == 0
    assert len(taken) == 1


def test_what_had_come_before_the_cut_is_not_read() -> None:
    watch = Watch(config_of())
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    with peer, ours:
        wrapped = SimpleNamespace(socket=ours, recv=ours.recv)
        watch._opened(SimpleNamespace(assoc=SimpleNamespace(dul=SimpleNamespace(socket=wrapped))))
        peer.sendall(b"the first half, the second half")
        assert wrapped.recv(15) == b"the first half,"
        watch.fail(dicom_error("pacs_too_much", "an instance is too large"))
        with pytest.raises(OSError, match="has ended the connection"):
            wrapped.recv(16)
