"""Why there is no association with a PACS: which of name, port, TLS and AE titles it is, in words for IT."""

import socket
import ssl
from pathlib import Path
from typing import Any

from fedvoxel.dicom.certificates import client_context
from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.pacs_config import DimseConfig, TlsFiles
from fedvoxel.errors import DicomError

_PROBE_S = 5.0
_ALERT_S = 1.0
_REJECTIONS = {
    (1, 2): "does not offer what this site asks for",
    (1, 3): "does not know this site's AE title (calling_ae_title)",
    (1, 7): "does not go by the AE title that it is called (called_ae_title)",
    (3, 1): "is too busy",
    (3, 2): "has too many associations",
}


def why_refused(config: DimseConfig, base: Path, association: Any) -> DicomError:
    """Returns the error for an association that was not established, looking once more at the port where that helps."""
    if association.is_rejected:
        answer = association.acceptor.primitive
        key = (getattr(answer, "result_source", 0), getattr(answer, "diagnostic", 0))
        return dicom_error("pacs_rejected", f"the PACS {_REJECTIONS.get(key, 'rejects the association')}")
    try:
        with socket.create_connection(
            (config.host, config.port), timeout=min(_PROBE_S, config.timeout_s)
        ) as connection:
            return _spoken(config, base, connection)
    except TimeoutError:
        return dicom_error("pacs_unreachable", "the PACS does not answer on its port")
    except OSError as error:
        return dicom_error("pacs_unreachable", f"the PACS cannot be connected to ({error.strerror or 'closed'})")


def _spoken(config: DimseConfig, base: Path, connection: socket.socket) -> DicomError:
    if config.tls is None:
        if _speaks_tls(connection):
            return dicom_error("pacs_tls", "this port of the PACS speaks TLS, the site's file says plaintext")
        return dicom_error("pacs_garbled", "what listens there does not answer as a DICOM application does")
    refused = _tls_refusal(config.tls, config.host, base, connection)
    return refused or dicom_error("pacs_garbled", "over TLS, it does not answer as a DICOM application does")


def _speaks_tls(connection: socket.socket) -> bool:
    """Says whether a TLS greeting is answered by TLS, be it an alert; nothing is trusted by this."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with context.wrap_socket(connection):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


def _tls_refusal(files: TlsFiles, host: str, base: Path, connection: socket.socket) -> DicomError | None:
    """Returns what is wrong with TLS, None if nothing is."""
    context = client_context(files, base)
    try:
        with context.wrap_socket(connection, server_hostname=files.server_name or host) as secured:
            return _late_alert(secured)
    except ssl.SSLCertVerificationError as error:
        return dicom_error("pacs_tls", f"the certificate of the PACS is not accepted ({error.verify_message})")
    except ssl.SSLError as error:
        return dicom_error("pacs_tls", f"TLS does not come about ({error.reason or 'no reason given'})")
    except TimeoutError:
        return dicom_error("pacs_timeout", "the PACS does not answer to TLS")
    except OSError:
        return dicom_error("pacs_tls", "the PACS ends the connection when TLS begins")


def _late_alert(secured: ssl.SSLSocket) -> DicomError | None:
    """Waits for what TLS 1.3 says after the handshake: whether the PACS accepts this site's certificate."""
    secured.settimeout(_ALERT_S)
    try:
        closed = secured.recv(1) == b""
    except TimeoutError:
        return None
    return dicom_error("pacs_tls", "the PACS ends the connection after TLS began") if closed else None
