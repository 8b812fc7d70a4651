"""Listens for instances that a PACS sends: for C-MOVE, and for pushes (PS3.4 Annex B, as SCP).

It has one address, knows who may call, and takes what its receiver keeps; instances go to the disk as they come.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pynetdicom import AE, evt

from fedvoxel.dicom.association import MAX_PDU_BYTES
from fedvoxel.dicom.certificates import server_context
from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.pacs_config import DimseConfig
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.storage_classes import STORAGE_CLASSES, TRANSFER_SYNTAXES
from fedvoxel.dicom.watch import Watch
from fedvoxel.errors import DicomError

SUCCESS = 0x0000
_OUT_OF_RESOURCES = 0xA700
_CANNOT_UNDERSTAND = 0xC001
_MAX_CALLERS = 8

Take = Callable[[Sequence[bytes]], None]


@contextmanager
def receiving(config: DimseConfig, base: Path, take: Take, watch: Watch) -> Iterator[None]:
    """Listens on `config.storage` as long as the block runs.

    Args:
        config: The PACS that will call; its `storage` says where to listen and who may send.
        base: The folder that relative paths count from.
        take: Is given each instance as a DICOM file, and raises DicomError for what it does not want.
        watch: Limits of size; also told of what `take` raised.

    Raises:
        DicomError: The port cannot be listened on.
    """
    storage = config.storage
    if storage is None:
        raise ValueError("expected a configuration with storage")
    entity = AE(ae_title=config.calling_ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = list(storage.allowed_ae_titles or (config.called_ae_title,))
    entity.maximum_associations, entity.maximum_pdu_size = _MAX_CALLERS, MAX_PDU_BYTES
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = config.timeout_s
    for uid in STORAGE_CLASSES:
        entity.add_supported_context(uid, list(TRANSFER_SYNTAXES))
    handlers = [*watch.handlers(), (evt.EVT_C_STORE, lambda event: stored(event, take, watch))]
    context = None if config.tls is None else server_context(config.tls, base, config.timeout_s)
    with quiet():
        try:
            address = (storage.host, storage.port)
            server = entity.start_server(address, block=False, ssl_context=context, evt_handlers=handlers)
        except OSError as error:
            found = f"this site cannot listen on its storage port ({error.strerror})"
            raise dicom_error("pacs_unreachable", found) from None
        try:
            yield
        finally:
            if server is not None:
                server.shutdown()
            watch.close()


def stored(event: Any, take: Take, watch: Watch) -> int:
    """Answers one C-STORE request: the status for the peer; a fault ends the transfer."""
    try:
        take([event.encoded_dataset()])
    except DicomError as error:
        watch.fail(error)
        return _OUT_OF_RESOURCES if error.reason == "incoming_disk" else _CANNOT_UNDERSTAND
    except Exception as error:
        watch.fail(dicom_error("pacs_garbled", f"an instance could not be taken ({type(error).__name__})"))
        return _CANNOT_UNDERSTAND
    return SUCCESS
