"""Listens on 127.0.0.1 and nowhere else, until it is interrupted."""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fedvoxel.errors import ReviewError
from fedvoxel.review.access import Access
from fedvoxel.review.app import make_app
from fedvoxel.review.desk import Desk
from fedvoxel.review.gate import ENTER

LOOPBACK = "127.0.0.1"
_GRACE_S = 2


@contextmanager
def listening(port: int) -> Iterator[socket.socket]:
    """Yields a socket on loopback; port 0 takes a free one.

    Raises:
        ReviewError: The port is in use.
    """
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
            listener.listen()  # whoever follows a link at once waits a moment, and is not refused
        except OSError as error:
            raise ReviewError(f"port {port} cannot be used ({error.strerror}): name another with --port") from None
        yield listener


def serve(desk: Desk, readers: Sequence[str], listener: socket.socket, on_link: Callable[[str, str], None]) -> None:
    """Answers readers until the process is interrupted.

    Args:
        desk: The cases.
        readers: Who reads.
        listener: Where to listen.
        on_link: Is told each reader's link, and the next one when it was used.
    """
    import uvicorn

    port = listener.getsockname()[1]
    access = Access(lambda reader, token: on_link(reader, link(port, token)))
    for reader in readers:
        on_link(reader, link(port, access.invite(reader)))
        desk.prefetch(desk.study.order(reader)[0])
    # No access log: an address holds a token.
    settings = uvicorn.Config(
        make_app(desk, access, port),
        log_config=None,  # uvicorn's would close all handlers of this process, and absl's closes standard error with it
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    try:
        uvicorn.Server(settings).run(sockets=[listener])
    finally:
        desk.close()


def link(port: int, token: str) -> str:
    """Returns the address that lets a reader in."""
    return f"http://{LOOPBACK}:{port}{ENTER}?token={token}"
