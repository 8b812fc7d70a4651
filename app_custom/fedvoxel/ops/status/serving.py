"""Listens with mutual TLS, and hands the certificate of the other end to whoever answers."""

import asyncio
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from fedvoxel.errors import ConfigError, ConsortiumError
from fedvoxel.governance.kit import Kit
from fedvoxel.ops.status.door import CERTIFICATE, Door

MOST_CONNECTIONS = 200
_GRACE_S = 2

_logger = logging.getLogger(__name__)


class WithCertificate(H11Protocol):
    """Puts the certificate that a connection was made with into the state of each of its requests."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Is called after the handshake, in which the other end has proved to own the certificate."""
        super().connection_made(transport)
        line = transport.get_extra_info("ssl_object")
        shown = line.getpeercert(binary_form=True) if line is not None else None
        self.app_state = {**self.app_state, CERTIFICATE: shown}


class OwnCertificate:
    """Keeps TLS settings at the kit's newest certificate and roots, which are replaced while the server runs."""

    def __init__(self, kit: Kit) -> None:
        """Makes the settings.

        Raises:
            ConsortiumError: The kit's certificate, key or root cannot be used.
        """
        self._kit = kit
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.verify_mode = ssl.CERT_REQUIRED
        # Who comes again shows the certificate again.
        self.context.options |= ssl.OP_NO_TICKET
        self.context.num_tickets = 0
        try:
            self._loaded = self._load()
        except OSError:  # an SSLError is one
            raise ConsortiumError(
                f"the certificate, key or root of kit {kit.name} cannot be used; ask the operator for a new kit"
            ) from None
        self.context.sni_callback = self._look

    def _load(self) -> tuple[int, ...]:
        seen = tuple(path.stat().st_mtime_ns for path in self._files)
        certificate, key, roots = self._files
        self.context.load_cert_chain(certificate, key)
        self.context.load_verify_locations(roots)
        return seen

    @property
    def _files(self) -> tuple[Path, Path, Path]:
        return self._kit.certificate, self._kit.private_key, self._kit.root_certificate

    def _look(self, *_: Any) -> None:
        """Is called as a handshake begins; what was replaced meanwhile counts from the next one on."""
        try:
            if tuple(path.stat().st_mtime_ns for path in self._files) != self._loaded:
                self._loaded = self._load()
        except OSError as error:
            _logger.error("event=certificate_not_loaded reason=%s", type(error).__name__)


def listening(address: str, port: int) -> socket.socket:
    """Returns a socket that listens; port 0 takes a free one.

    Raises:
        ConfigError: Nobody may listen there.
    """
    try:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return socket.create_server((address, port), family=family)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {address}, port {port}: {error.strerror or type(error).__name__}"
        ) from None


def status_server(kit: Kit) -> uvicorn.Server:
    """Returns the server, to be run on a socket that listens.

    Raises:
        ConsortiumError: The kit's certificate, key or root cannot be used.
    """
    own = OwnCertificate(kit)
    config = uvicorn.Config(
        Door(kit),
        http=WithCertificate,
        ws="none",
        lifespan="off",
        ssl_context_factory=lambda *_: own.context,
        # uvicorn's own would close all handlers of this process.
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        # Nobody may say, by X-Forwarded-..., whence a request came.
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_S,
    )
    return uvicorn.Server(config)
