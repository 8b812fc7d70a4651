"""How the review page's server listens."""

import asyncio
import socket

from fedvoxel.review.server import LOOPBACK, listening


async def sends_at_once(listener: socket.socket) -> bool:
    """Says whether what a server writes to a connection waits for no answer to what it wrote before."""
    seen: list[int] = []

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(connected, sock=listener):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        await reader.read()
        writer.close()
    return seen == [1]


def test_an_answer_does_not_wait_for_the_browsers_delayed_acknowledgement() -> None:
    with listening(0) as listener:
        assert listener.getsockname()[0] == LOOPBACK
        assert asyncio.run(sends_at_once(listener))
    with socket.create_server((LOOPBACK, 0)) as ordinary:
        assert not asyncio.run(sends_at_once(ordinary)), "asyncio does so anyway: the guard is not needed"
