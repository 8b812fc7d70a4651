"""Listens on 127.0.0.1 and nowhere else, until it is interrupted."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fedvoxel.errors import ReviewError
from fedvoxel.review.app import make_app
from fedvoxel.review.desk import Desk
from fedvoxel.review.gate import WayIn

LOOPBACK = "127.0.0.1"
_GRACE_S = 2


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Yields a socket on loopback; port 0 takes a free one.

    Raises:
        ReviewError: The port is in use.
    """
    # That it is TCP is said: asyncio sets TCP_NODELAY only then, and without it most answers come 40 ms late.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
            listener.listen()  # whoever follows a link at once waits a moment, and is not refused
        except OSError as error:
            raise ReviewError(f"port {port} cannot be used ({error.strerror}): name another with --port") from None
        yield listener


def serve(desk: Desk, way: WayIn, listener: socket.socket) -> None:
    """Answers readers until the process is interrupted.

    Args:
        desk: The cases.
        way: How readers come in.
        listener: Where to listen.
    """
    import uvicorn

    for reader in desk.study.settings.readers:
        desk.prefetch(desk.study.order(reader)[0])
    try:
        uvicorn.Server(uvicorn.Config(make_app(desk, way), **uvicorn_settings())).run(sockets=[listener])
    finally:
        desk.close()


def uvicorn_settings() -> dict[str, Any]:
    """Returns how requests are taken."""
    return {
        # uvicorn's would close all handlers of this process, and absl's closes standard error with it.
        "log_config": None,
        "log_level": "warning",
        # An address holds a link's token, or what a sign-in brought back.
        "access_log": False,
        "server_header": False,
        # Nobody on this machine may say, by X-Forwarded-..., whence a request came.
        "proxy_headers": False,
        "ws": "none",
        "timeout_graceful_shutdown": _GRACE_S,
    }
