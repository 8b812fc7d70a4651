"""A TCP relay that delays what passes and, where packets are lost, holds it back as TCP would.

For kernels without netem:

    python -m tests.system.relay LISTEN_PORT HOST PORT --rtt-ms 60 --loss 0.01

Each direction of each connection is a `Path`. It delays every byte by half the round-trip time. With loss it sends
segments no faster than one congestion window for each round trip, as Reno does: the window grows by one segment in a
round trip, a lost segment arrives a round trip late and halves it. It does not model slow start, timeouts of the sender
after several losses in one window, lost acknowledgements, or a queue on the way; the line's rate is not its work.
"""

import argparse
import asyncio
import random
from contextlib import suppress

SEGMENT_BYTES = 1448
"""Of an Ethernet frame, beside IP's and TCP's heads and timestamps."""

_MOST_WAITING_BYTES = 2**18
"""Holds more than a line of 30 Mbit/s has on its way in 60 ms; when it is full, the sender has to wait."""


class Path:
    """Says when bytes that come in arrive at the other end."""

    def __init__(self, rtt_s: float, loss: float = 0.0, seed: int = 1) -> None:
        """Starts with a window of ten segments, as RFC 6928 has it.

        Args:
            rtt_s: Round-trip time in seconds.
            loss: Share of the segments that is lost.
            seed: Of which ones.
        """
        self._rtt_s, self._loss, self._random = rtt_s, loss, random.Random(seed)
        self._window, self._free_at, self._arrived_at = 10.0, 0.0, 0.0

    def arrival(self, size: int, now: float) -> float:
        """Returns when the last of `size` bytes that come in at `now` has arrived, both in seconds of one clock."""
        if not self._loss:
            return now + self._rtt_s / 2
        for _ in range(-(-size // SEGMENT_BYTES)):
            self._send(now)
        return self._arrived_at

    def _send(self, now: float) -> None:
        sent_at = max(now, self._free_at)
        self._free_at = sent_at + self._rtt_s / self._window
        lost = self._random.random() < self._loss
        self._window = max(1.0, self._window / 2) if lost else self._window + 1 / self._window
        # What comes after a lost segment waits for it: TCP delivers in order.
        self._arrived_at = max(self._arrived_at, sent_at + self._rtt_s / 2 + (self._rtt_s if lost else 0.0))


async def serve(listen_port: int, host: str, port: int, rtt_s: float, loss: float) -> None:
    """Relays every connection to the local `listen_port` until it is cancelled."""
    opened = 0

    async def connected(here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 2
        try:
            there, onward = await asyncio.open_connection(host, port)
        except OSError:
            back.close()  # as whoever is behind this relay refuses
            return
        await asyncio.gather(
            _pump(here, onward, Path(rtt_s, loss, opened)), _pump(there, back, Path(rtt_s, loss, opened + 1))
        )

    async with await asyncio.start_server(connected, "127.0.0.1", listen_port) as server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: Path) -> None:
    """Carries one direction of a connection to its end."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_MOST_WAITING_BYTES // 2**14)

    async def deliver() -> None:
        while True:
            due, content = await waiting.get()
            await asyncio.sleep(due - loop.time())
            if not content:
                break
            with suppress(ConnectionError):  # what nobody takes any more still makes room
                writer.write(content)
                await writer.drain()
        writer.close()

    delivery = asyncio.create_task(deliver())
    with suppress(ConnectionError):
        while content := await reader.read(2**14):
            await waiting.put((path.arrival(len(content), loop.time()), content))
    await waiting.put((path.arrival(0, loop.time()), b""))
    await delivery


def main() -> None:
    """Reads the command line and relays until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("listen_port", type=int)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--rtt-ms", type=float, default=60.0)
    parser.add_argument("--loss", type=float, default=0.0)
    options = parser.parse_args()
    asyncio.run(serve(options.listen_port, options.host, options.port, options.rtt_ms / 1000, options.loss))


if __name__ == "__main__":
    main()
