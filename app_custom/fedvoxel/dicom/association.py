"""One association with a PACS (PS3.8): made within limits of time and size, and explained when it fails.

pynetdicom leaves a connection without a limit once it stands: a peer that stalls in the middle of a message, trickles,
or announces gigabytes would hold the program for ever. Here the socket has a timeout and a watch.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from pydicom import Dataset
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.presentation import PresentationContext

from fedvoxel.dicom.certificates import client_context
from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.pacs_config import DimseConfig
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.refused_call import why_refused
from fedvoxel.errors import DicomError

MAX_PDU_BYTES = 2**17
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


@contextmanager
def associated(
    config: DimseConfig,
    base: Path,
    contexts: Sequence[PresentationContext],
    watch: Watch,
    store: Callable[[Any], int] | None = None,
) -> Iterator[Association]:
    """Makes an association, watched, and ends it with the block.

    Args:
        config: Whom to call and as whom.
        base: The folder that relative paths count from.
        contexts: What to propose; with `store`, the storage classes among them are for receiving.
        watch: Limits of time and size.
        store: Takes C-STORE requests of the peer on this association (C-GET).

    Raises:
        DicomError: There is no association, and why; or what the watch saw.
    """
    with quiet():
        _be_discreet()
        association = _call(config, base, contexts, watch, store)
        if not association.is_established:
            watch.close()
            raise why_refused(config, base, association)
        try:
            with watch.watching():
                yield association
        except DicomError as error:
            raise watch.fault or error from None
        finally:
            if association.is_established:
                association.release() if watch.fault is None else association.abort()
            watch.close()
        if watch.fault is not None:
            raise watch.fault


def status_of(answer: Dataset) -> int:
    """Returns the status of a response; -1 for none: the library answers with an empty data set when a peer is gone."""
    status = answer.get("Status")
    return -1 if status is None else int(status)


def failure(watch: Watch, status: int, what: str) -> DicomError:
    """Returns the error for a status that is neither success nor pending (PS3.7 Annex C, PS3.4 Annexes B and C)."""
    if watch.fault is not None:
        return watch.fault
    if status == -1:
        return dicom_error("pacs_cut_off", f"the PACS broke off during {what}")
    if status in (0x0122, 0xA900):
        return dicom_error("pacs_unsupported", f"the PACS does not offer {what} (status 0x{status:04X})")
    if status in (0x0124, 0xA801):
        return dicom_error("pacs_rejected", f"the PACS does not grant this site {what} (status 0x{status:04X})")
    return dicom_error("pacs_failed", f"the PACS answers {what} with status 0x{status:04X}")


def _call(
    config: DimseConfig,
    base: Path,
    contexts: Sequence[PresentationContext],
    watch: Watch,
    store: Callable[[Any], int] | None,
) -> Association:
    entity = AE(ae_title=config.calling_ae_title)
    entity.acse_timeout = entity.connection_timeout = entity.network_timeout = config.timeout_s
    entity.dimse_timeout = config.series_timeout_s
    handlers = watch.handlers()
    roles = []
    if store is not None:
        handlers.append((evt.EVT_C_STORE, store))
        classes = {context.abstract_syntax for context in contexts if _is_storage(context)}
        roles = [build_role(uid, scp_role=True) for uid in sorted(str(uid) for uid in classes)]
    try:
        return entity.associate(
            config.host,
            config.port,
            contexts=list(contexts),
            ae_title=config.called_ae_title,
            max_pdu=MAX_PDU_BYTES,
            ext_neg=list(roles),
            tls_args=_tls(config, base),
            evt_handlers=handlers,
        )
    except socket.gaierror:
        raise dicom_error("pacs_unreachable", "the name of the PACS is not known here") from None
    except (OSError, RuntimeError) as error:
        raise dicom_error("pacs_unreachable", f"the PACS cannot be called ({type(error).__name__})") from None


def _tls(config: DimseConfig, base: Path) -> Any:
    if config.tls is None:
        return None
    return client_context(config.tls, base), config.tls.server_name or config.host


def _is_storage(context: PresentationContext) -> bool:
    return str(context.abstract_syntax).startswith("1.2.840.10008.5.1.4.1.1.")


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


def _be_discreet() -> None:
    """Switches off what pynetdicom logs of each message, and has it send files without decoding them."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.STORE_SEND_CHUNKED_DATASET = True
