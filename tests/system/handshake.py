"""A TLS handshake with a running server, as a kit would begin it."""

import socket
import ssl
from pathlib import Path

from fedvoxel.governance.kit import open_kit


def accepts(folder: Path) -> bool:
    """Says whether the server's TLS accepts the certificate of a kit."""
    kit = open_kit(folder)
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(kit.root_certificate))
    context.check_hostname = False
    context.load_cert_chain(kit.certificate, kit.private_key)
    try:
        with (
            socket.create_connection(("localhost", kit.server.port), 10) as plain,
            context.wrap_socket(plain) as secured,
        ):
            # In TLS 1.3 a client learns with its first read whether its certificate was accepted.
            secured.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return secured.recv(1) == b"H"
    except (ssl.SSLError, ConnectionError):
        return False
