"""An HTTP session to a PACS with limits of size and time, and faults in words that quote no address.

Errors of the HTTP libraries name the URL, in which a patient's identifier may be; none of their text is passed on.
"""

import http.client
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import urllib3

from fedvoxel.dicom.certificates import existing_file, private_file, read_secret
from fedvoxel.dicom.faults import DicomReason, dicom_error
from fedvoxel.dicom.pacs_config import DicomwebConfig
from fedvoxel.dicom.quiet import quiet
from fedvoxel.errors import DicomError, causes_of

MAX_ANSWER_BYTES = 2**26
"""Size of an answer that is not a stream of instances."""

_CREDENTIALS = (401, 403, 407)
_UNKNOWN = (404, 405, 406, 415, 501)


def session_for(config: DicomwebConfig, base: Path) -> requests.Session:
    """Returns a session with the site's credentials; it follows no redirection and reads no environment.

    Raises:
        ConfigError: A certificate, key or password file is missing, unusable, or readable by others.
    """
    session = requests.Session()
    session.trust_env, session.max_redirects = False, 0
    session.headers["Accept-Encoding"] = "identity"
    if config.username is not None and config.password_file is not None:
        # As bytes: of text, requests would send what fits into Latin-1 only.
        credentials: Any = (config.username.encode(), read_secret(base, config.password_file).encode())
        session.auth = credentials
    if config.ca is not None:
        session.verify = str(existing_file(base, config.ca, "ca"))
    if config.certificate is not None and config.key is not None:
        certificate = existing_file(base, config.certificate, "certificate")
        session.cert = (str(certificate), str(private_file(base, config.key, "key")))

    def bound(response: requests.Response, **how: Any) -> None:
        most = None if how.get("stream") else MAX_ANSWER_BYTES
        response.raw = _Bounded(response.raw, most, config.series_timeout_s)

    session.hooks["response"].append(bound)
    return session


class _Bounded:
    """Is an answer's stream that ends with an error beyond its size or time."""

    def __init__(self, raw: Any, most_bytes: int | None, total_s: float) -> None:
        self._raw, self._most, self._deadline = raw, most_bytes, time.monotonic() + total_s

    def stream(self, amount: int, decode_content: bool | None = None) -> Iterator[bytes]:
        """Returns the answer in pieces as they come: what was received before a break is not lost with it.

        Raises:
            DicomError: pacs_too_much or pacs_timeout.
        """
        size = 0
        try:
            while piece := self._raw.read1(amount, decode_content=decode_content):
                size += len(piece)
                self._judge(size)
                yield piece
        except BaseException:
            # An answer that was left half-way is of no use for the next call.
            self._raw.close()
            raise

    def _judge(self, size: int) -> None:
        if self._most is not None and size > self._most:
            raise dicom_error("pacs_too_much", f"the PACS answers with more than {self._most} bytes")
        if time.monotonic() > self._deadline:
            raise dicom_error("pacs_timeout", "the PACS takes too long to hand out what was asked for")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


@contextmanager
def explained_http() -> Iterator[None]:
    """Turns whatever the HTTP libraries raise into a `DicomError` that quotes nothing.

    Raises:
        DicomError: In place of any other error.
    """
    try:
        with quiet():
            yield
    except DicomError:
        raise
    except requests.HTTPError as error:
        raise http_fault(-1 if error.response is None else error.response.status_code) from None
    except requests.TooManyRedirects:
        raise dicom_error("pacs_garbled", "the PACS sends the call to another address") from None
    except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
        raise _connection_fault(error) from None
    except Exception as error:
        raise dicom_error(
            "pacs_garbled", f"the PACS answers with what is no DICOMweb ({type(error).__name__})"
        ) from None


def http_fault(status: int) -> DicomError:
    """Returns the error for an HTTP status that is not success."""
    if status in _CREDENTIALS:
        return dicom_error("pacs_credentials", f"the PACS refuses this site's credentials (status {status})")
    if status in _UNKNOWN:
        return dicom_error("pacs_unsupported", f"the PACS does not offer this DICOMweb service here (status {status})")
    return dicom_error("pacs_failed", f"the PACS answers with status {status}")


def _connection_fault(error: BaseException) -> DicomError:
    chain = list(causes_of(error))
    tls = [cause for cause in chain if isinstance(cause, ssl.SSLError)]
    if tls:
        words = [getattr(cause, "verify_message", "") or cause.reason for cause in tls]
        said = next((word for word in words if word), "the PACS ends the connection")
        return dicom_error("pacs_tls", f"TLS does not come about ({said})")
    for kinds, reason, found in _CONNECTION_FAULTS:
        if any(isinstance(cause, kinds) for cause in chain):
            return dicom_error(reason, found)
    return dicom_error("pacs_garbled", "what listens there does not answer as a DICOMweb server does")


_CONNECTION_FAULTS: tuple[tuple[tuple[type[BaseException], ...], DicomReason, str], ...] = (
    ((urllib3.exceptions.NameResolutionError,), "pacs_unreachable", "the name of the PACS is not known here"),
    ((requests.ConnectTimeout,), "pacs_unreachable", "the PACS does not answer on its port"),
    ((urllib3.exceptions.NewConnectionError,), "pacs_unreachable", "the PACS cannot be connected to"),
    ((TimeoutError, urllib3.exceptions.ReadTimeoutError, requests.Timeout), "pacs_timeout", "the PACS fell silent"),
    (
        (ConnectionError, http.client.IncompleteRead, urllib3.exceptions.IncompleteRead),
        "pacs_cut_off",
        "the PACS broke the connection off",
    ),
)
