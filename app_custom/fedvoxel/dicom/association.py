"""One association with a PACS (PS3.8): made within limits of time and size, and explained when it fails."""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, _config, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from fedvoxel.dicom.certificates import client_context
from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.pacs_config import DimseConfig
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.reactor_gate import keep_answers
from fedvoxel.dicom.refused_call import why_refused
from fedvoxel.dicom.watch import Watch
from fedvoxel.errors import DicomError

MAX_PDU_BYTES = 2**17


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
        association = _established(config, base, contexts, watch, store)
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


def _established(
    config: DimseConfig,
    base: Path,
    contexts: Sequence[PresentationContext],
    watch: Watch,
    store: Callable[[Any], int] | None,
) -> Association:
    """Calls, and once more where nothing seems wrong: a PACS that rejects and hangs up at once may go unheard."""
    for _ in range(2):
        association = _call(config, base, contexts, watch, store)
        if association.is_established:
            keep_answers(association)
            return association
        watch.close()
        refused = why_refused(config, base, association)
        if refused.reason != "pacs_garbled":
            break
    raise refused


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


def _be_discreet() -> None:
    """Switches off what pynetdicom logs of each message, and has it send files without decoding them."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.STORE_SEND_CHUNKED_DATASET = True
