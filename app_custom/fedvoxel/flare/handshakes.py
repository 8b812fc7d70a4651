"""Tells of every TLS handshake that this process refused as a server: FLARE and asyncio keep silent about them.

A caller without a certificate, with one that the consortium's root did not issue, or without TLS at all never reaches
FLARE: asyncio drops the connection and logs it in debug mode only. Here its TLS protocol tells first. That is the way
of the http scheme, which our consortium files use; with FLARE's grpc scheme the gRPC core hides the handshake.
"""

import ssl
from asyncio import sslproto
from collections.abc import Callable
from functools import wraps
from typing import Any

OnRefused = Callable[[str, str], None]
"""Takes the caller's address and why it was refused."""

_WORDS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate",
    "HTTP_REQUEST": "plain HTTP, no TLS",
    "WRONG_VERSION_NUMBER": "no TLS",
    "UNKNOWN_PROTOCOL": "no TLS",
    "UNSUPPORTED_PROTOCOL": "a version of TLS before 1.2",
    "NO_SHARED_CIPHER": "no cipher in common",
}


def watch_handshakes(on_refused: OnRefused) -> None:
    """Calls `on_refused` for every handshake that fails from now on, on whichever of the process's ports."""
    protocol: Any = sslproto.SSLProtocol
    complete = protocol._on_handshake_complete

    @wraps(complete)
    def told(self: Any, trouble: BaseException | None) -> None:
        # A connection that is broken off, by a port scan or a bad line, was not refused: that is an OSError.
        if isinstance(trouble, ssl.SSLError) and self._server_side:
            peer = self._transport.get_extra_info("peername") if self._transport else None
            on_refused(str(peer[0]) if peer else "unknown", reason_of(trouble))
        complete(self, trouble)

    protocol._on_handshake_complete = told


def reason_of(trouble: ssl.SSLError) -> str:
    """Returns why a handshake failed, in words."""
    if isinstance(trouble, ssl.SSLCertVerificationError):
        return f"certificate refused: {trouble.verify_message}"
    reason = str(trouble.reason or trouble.strerror or "unknown")
    return f"TLS refused: {_WORDS.get(reason, reason.lower().replace('_', ' '))}"
