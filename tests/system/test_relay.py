"""The relay of the thin lines: what goes in comes out in order, later, and no faster than losses let it."""

import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from fedvoxel.federation.line import tcp_bytes_s
from tests.system.network import ROOT
from tests.system.relay import SEGMENT_BYTES, Path

from .conftest import free_port


def test_without_loss_everything_arrives_half_a_round_trip_later() -> None:
    path = Path(rtt_s=0.06)
    assert path.arrival(10**6, 5.0) == pytest.approx(5.03)
    assert path.arrival(1, 5.0) == pytest.approx(5.03)


def test_bytes_arrive_in_order_also_behind_a_lost_one() -> None:
    path = Path(rtt_s=0.06, loss=0.3, seed=4)
    arrivals = [path.arrival(SEGMENT_BYTES, 0.01 * index) for index in range(500)]
    assert arrivals == sorted(arrivals)
    assert all(arrival >= 0.01 * index + 0.03 for index, arrival in enumerate(arrivals))


@pytest.mark.parametrize(("rtt_s", "loss"), [(0.06, 0.01), (0.02, 0.002), (0.2, 0.001)])
def test_a_long_transfer_is_as_fast_as_reno_would_be(rtt_s: float, loss: float) -> None:
    """The window is simulated segment by segment; the bound of Mathis et al. comes from the mean of its saw-tooth."""
    segments = 200_000
    taken_s = Path(rtt_s, loss, seed=2).arrival(segments * SEGMENT_BYTES, 0.0)
    assert segments * SEGMENT_BYTES / taken_s == pytest.approx(tcp_bytes_s(rtt_s, loss), rel=0.15)


@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_what_comes_out_is_what_went_in_both_ways_and_ends_end(loss: float) -> None:
    content = random.Random(1).randbytes(300_000)
    with socket.create_server(("127.0.0.1", 0)) as behind, _relay(behind.getsockname()[1], loss) as port:
        echo = threading.Thread(target=_echo, args=(behind,))
        echo.start()
        with _connected(port) as client:
            sender = threading.Thread(target=client.sendall, args=(content,))
            sender.start()
            got = bytearray()
            while len(got) < len(content):
                got += client.recv(2**16)
            sender.join()
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b"", "the end of one side ends the other"
        echo.join()
    assert bytes(got) == content


@contextmanager
def _relay(port: int, loss: float) -> Iterator[int]:
    """Runs the relay as the thin lines do."""
    listening = free_port()
    words = [sys.executable, "-m", "tests.system.relay", str(listening), "127.0.0.1", str(port)]
    relay = subprocess.Popen([*words, "--rtt-ms", "4", "--loss", str(loss)], cwd=ROOT)
    try:
        yield listening
    finally:
        relay.terminate()
        relay.wait()


def _connected(port: int) -> socket.socket:
    while True:
        with suppress(ConnectionError):
            return socket.create_connection(("127.0.0.1", port))
        time.sleep(0.05)


def _echo(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        while piece := connection.recv(2**16):
            connection.sendall(piece)
