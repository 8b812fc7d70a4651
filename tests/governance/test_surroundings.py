"""What a kit needs around it: real sockets, real certificates, one thing wrong at a time."""

import dataclasses
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from fedvoxel.governance import surroundings
from fedvoxel.governance.consortium import Consortium
from fedvoxel.governance.finding import Finding
from fedvoxel.governance.kit import Kit, ServerAddress, open_kit
from fedvoxel.governance.surroundings import check_disk, check_memory, check_server, port_is_free
from tests.consortium_kits import SERVER, free_port, small_consortium

Copy = Callable[[str], Kit]


@contextmanager
def _server(kit: Kit, port: int, minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> Iterator[None]:
    """Runs a server that asks for a client's certificate, with the certificate of `kit`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(kit.root_certificate))
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = minimum
    context.load_cert_chain(kit.certificate, kit.private_key)
    with socket.create_server(("127.0.0.1", port)) as listener:

        def answer() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join(10)


def _at(kit: Kit, host: str, port: int) -> Kit:
    return dataclasses.replace(kit, server=dataclasses.replace(kit.server, host=host, port=port))


def _ask(site: Kit, server: Kit) -> Finding:
    port = free_port()
    with _server(server, port):
        return check_server(_at(site, "localhost", port))


def test_a_server_of_the_consortium_is_accepted(kit: Copy) -> None:
    assert _ask(kit("hospital-a"), kit(SERVER)).level == "ok"


def test_another_consortiums_server_is_refused(kit: Copy, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = small_consortium(tmp_path_factory.mktemp("other"))
    stranger, site = open_kit(other.server_kit), kit("hospital-a")
    assert "did not issue" in _ask(site, stranger).message
    # A kit that was given the other's root still has a certificate that the server does not know.
    site.root_certificate.write_bytes(stranger.root_certificate.read_bytes())
    assert "refuses this kit's certificate" in _ask(site, stranger).message


def test_a_site_that_poses_as_the_server_is_refused(kit: Copy) -> None:
    found = _ask(kit("hospital-a"), kit("hospital-b"))
    assert "shows a certificate of somebody who is no server" in found.message


def test_a_silent_port_and_an_unknown_name_are_told_apart(kit: Copy) -> None:
    site = kit("hospital-a")
    assert "is the server running?" in check_server(_at(site, "localhost", free_port())).message
    assert "is not known here" in check_server(_at(site, "no-such-host.invalid", 8002)).message


def test_a_port_in_use_stops_a_server(kit: Copy) -> None:
    port = free_port()
    server = _at(kit(SERVER), "127.0.0.1", port)
    assert check_server(server).level == "ok"
    with socket.create_server(("127.0.0.1", port)):
        assert "in use by another program" in check_server(server).message
        assert not port_is_free(ServerAddress("fl.consortium.example", port, "http"))


def test_a_full_disk_stops_and_little_memory_warns(
    kit: Copy, consortium: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_disk(consortium.folder).level == "ok"
    monkeypatch.setattr(surroundings, "MIN_FREE_DISK_BYTES", 2**60)
    monkeypatch.setattr(surroundings, "MIN_FREE_MEMORY_BYTES", {"server": 2**60, "site": 2**60})
    assert check_disk(consortium.folder).level == "error"
    assert check_memory(kit("hospital-a")).level == "warning"
