"""Reaches into the connections of a running FLARE server: which certificates are on the line, and which may come.

FLARE 2.9 has no revocation. It checks certificates in three places: in the TLS handshake of a listener, where Python's
`ssl` takes a revocation list while it runs; when a site or a person registers; when a person logs in. All three are
reached from here, and nothing of FLARE is changed.
"""

import logging
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Any

_logger = logging.getLogger(__name__)


class ServerLine:
    """Is the line of a FLARE server's parent process."""

    def __init__(self, services: Any) -> None:
        """Takes FLARE's `FederatedServer` after its cell was started."""
        self._connections = services.cell.core_cell.communicator.conn_manager

    def listeners(self) -> list[ssl.SSLContext]:
        """Returns the TLS settings of everything that the server listens with.

        A gRPC listener keeps its settings to itself: there a revoked certificate is refused only once it is connected.
        """
        drivers = [connector.driver for connector in list(self._connections.connectors.values())]
        contexts = [getattr(driver, "ssl_context", None) for driver in drivers]
        return [context for context in contexts if isinstance(context, ssl.SSLContext)]

    @staticmethod
    def require_list(context: ssl.SSLContext, crl: Path | None, roots: Path) -> None:
        """Has every further handshake refuse what a list names, and everyone if there is none or it is out of date."""
        context.load_verify_locations(roots)
        if crl:
            context.load_verify_locations(crl)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF

    def cut(self, serials: Collection[int]) -> int:
        """Closes the connections that were made with certificates of some serial numbers; returns how many."""
        closed = 0
        for line in list(self._connections.sfm_conns.values()):
            if serial_of_peer(line.conn) in serials:
                line.conn.close()
                closed += 1
        return closed


def serial_of_peer(connection: Any) -> int | None:
    """Returns the serial number of the certificate at the other end of a connection; None where there is none."""
    source = getattr(connection, "websocket", None) or getattr(connection, "writer", None)
    try:
        if source is not None:
            shown = source.get_extra_info("peercert")
        else:
            sock = getattr(connection, "sock", None)
            shown = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    except (OSError, ValueError) as error:
        _logger.warning("event=peer_unknown reason=%s", type(error).__name__)
        return None
    return int(shown["serialNumber"], 16) if shown else None
