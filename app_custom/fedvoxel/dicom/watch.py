"""Limits of time and size for an association, which pynetdicom leaves without any once it stands.

A peer that stalls in the middle of a message, trickles, or announces gigabytes would hold the program for ever. Here
the socket has a timeout and a watch.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from pynetdicom import evt
from pynetdicom.pdu import P_DATA_TF

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.pacs_config import DimseConfig
from fedvoxel.errors import DicomError

_LARGEST_PDU_BYTES = 2**20
_MESSAGE_BYTES = 2**16
_TICK_S = 0.1


class Watch:
    """Cuts a connection that is silent, slow as a whole, or sends too much, and remembers why.

    Attributes:
        fault: What ended the transfer; None while all is well.
    """

    def __init__(self, config: DimseConfig) -> None:
        self._idle_s, self._total_s = config.timeout_s, config.series_timeout_s
        self._most_bytes = config.limits.instance_mib * 2**20 + _MESSAGE_BYTES
        self._most_mib = config.limits.instance_mib
        self._connections: list[socket.socket] = []
        self._cut: WeakSet[socket.socket] = WeakSet()
        self._message_bytes: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
        self._ended = threading.Event()
        self._began = self._heard = time.monotonic()
        self.fault: DicomError | None = None

    def handlers(self) -> list[Any]:
        """Returns the handlers for pynetdicom's events, of this site's own calls and of those that it receives."""
        return [
            (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_PDU_RECV, self._received),
            (evt.EVT_DIMSE_RECV, self._whole),
        ]

    def fail(self, fault: DicomError) -> None:
        """Ends the transfer; the first fault counts."""
        self.fault = self.fault or fault
        for connection in self._connections:
            self._cut.add(connection)
            _cut(connection)

    def close(self) -> None:
        """Closes what pynetdicom leaves open of connections that were cut."""
        for connection in self._connections:
            connection.close()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches as long as the block runs; the time starts anew."""
        self._ended.clear()
        self._began = self._heard = time.monotonic()
        thread = threading.Thread(target=self._look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _look(self) -> None:
        while not self._ended.wait(_TICK_S):
            now = time.monotonic()
            if now - self._heard > self._idle_s:
                return self.fail(dicom_error("pacs_timeout", f"the PACS said nothing for {self._idle_s:g} s"))
            if now - self._began > self._total_s:
                return self.fail(dicom_error("pacs_timeout", f"a series took more than {self._total_s:g} s"))

    def _opened(self, event: Any) -> None:
        """Gives the connection a timeout, and a largest message part, that pynetdicom does not."""
        connection = event.assoc.dul.socket
        plain = connection.socket
        plain.settimeout(self._idle_s)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        read = connection.recv

        def bounded(size: int) -> bytearray:
            # What had come before the cut can still be read, and may hold the rest of an instance.
            if plain in self._cut:
                raise OSError("this site has ended the connection")
            _acknowledge_at_once(plain)
            if size > _LARGEST_PDU_BYTES:
                raise OSError("the peer announces more than was agreed")
            return bytearray(read(size))

        connection.recv = bounded
        self._connections = [*(one for one in self._connections if one.fileno() >= 0), plain]

    def _received(self, event: Any) -> None:
        self._heard = time.monotonic()
        if isinstance(event.pdu, P_DATA_TF):
            size = self._message_bytes.get(event.assoc, 0) + len(event.pdu)
            self._message_bytes[event.assoc] = size
            if size > self._most_bytes:
                self.fail(dicom_error("pacs_too_much", f"an instance has more than {self._most_mib} MiB"))

    def _whole(self, event: Any) -> None:
        self._message_bytes.pop(event.assoc, None)


def _acknowledge_at_once(connection: socket.socket) -> None:
    """Spares 40 ms an instance: many a PACS sends a message in two parts, the second when the first is acknowledged."""
    quickly = getattr(socket, "TCP_QUICKACK", None)
    if quickly is not None:
        connection.setsockopt(socket.IPPROTO_TCP, quickly, 1)


def _cut(connection: socket.socket) -> None:
    """Ends a connection from another thread; the plain call, since TLS's own would take its state from under it."""
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except OSError:
        return
