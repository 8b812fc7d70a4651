"""A PACS over DICOMweb: QIDO-RS, WADO-RS and STOW-RS (PS3.18 chapter 10).

Questions go through dicomweb-client. Instances do not: it decodes each one in memory, and takes the half of a broken
answer for a whole; here they are written as they come, byte for byte.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.http_session import explained_http, http_fault, session_for
from fedvoxel.dicom.incoming import Progress
from fedvoxel.dicom.multipart import boundary_of, parts, related
from fedvoxel.dicom.pacs import RETURN_KEYS, Level, Request
from fedvoxel.dicom.pacs_config import DicomwebConfig

_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_PIECE_BYTES = 2**18
_BATCH_BYTES = 2**25
_UID_KEYS: dict[Level, str] = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
_STORED_TAG, _FAILED_TAG = "00081199", "00081198"


class DicomwebTransport:
    """Is the DICOMweb side of one PACS."""

    def __init__(self, config: DicomwebConfig, base: Path) -> None:
        self._config = config
        self._session = session_for(config, base)
        with explained_http():
            self._client = DICOMwebClient(config.url, session=self._session, timeout=config.timeout_s)
            # A PACS that fails is reported at once, not called again and again.
            self._client.set_http_retry_params(retry=False)

    def check(self) -> None:
        """Does nothing if the PACS answers a query with this site's credentials.

        Raises:
            DicomError: What is wrong.
        """
        with explained_http():
            self._client.search_for_studies(limit=1)

    @contextmanager
    def searching(self) -> Iterator["DicomwebSearch"]:
        """Returns a block in which questions can be asked."""
        yield DicomwebSearch(self._client)

    def retrieve(self, request: Request, progress: Progress | None) -> None:
        """Has the PACS hand out a series, or single instances of it, as it stores them.

        Raises:
            DicomError: It fails, breaks off, or hands out what was not asked for.
        """
        found = request.found
        series = f"{self._config.url}/studies/{found.study_uid}/series/{found.series_uid}"
        urls = [f"{series}/instances/{uid}" for uid in request.instance_uids] or [series]
        for url in urls:
            with explained_http():
                self._receive(url, request, progress)

    def send(self, instances: Sequence[Path | Dataset]) -> None:
        """Stores instances by STOW-RS, files byte for byte.

        Raises:
            DicomError: The PACS did not take every one of them.
        """
        for batch in _batches(instances):
            content_type, body = related(batch)
            headers = {"Content-Type": content_type, "Accept": "application/dicom+json"}
            with explained_http():
                url, timeout = f"{self._config.url}/studies", self._config.timeout_s
                answer = self._session.post(url, body, headers=headers, timeout=timeout)
                _expect_stored(answer, len(batch))

    def _receive(self, url: str, request: Request, progress: Progress | None) -> None:
        timeout = self._config.timeout_s
        with self._session.get(url, headers={"Accept": _AS_STORED}, stream=True, timeout=timeout) as answer:
            if answer.status_code == 404:
                return  # listed, but not handed out: the receipt knows
            answer.raise_for_status()
            if answer.status_code not in (200, 206):
                raise http_fault(answer.status_code)
            boundary = boundary_of(answer.headers.get("Content-Type", ""))
            for part in parts(answer.iter_content(_PIECE_BYTES), boundary):
                request.receipt.take(part)
                if progress is not None:
                    progress(*request.receipt.count())


class DicomwebSearch:
    """Asks questions of one PACS."""

    def __init__(self, client: DICOMwebClient) -> None:
        self._client = client

    def ask(self, level: Level, keys: Mapping[str, str], most: int, more: Sequence[str] = ()) -> list[dict[str, str]]:
        """Returns the answers of the PACS, page by page, as keyword and text.

        Raises:
            DicomError: It fails, or has more than `most` answers.
        """
        answers: dict[str, dict[str, str]] = {}
        offset, wanted = 0, (*RETURN_KEYS[level], *more)
        while True:
            with explained_http():
                page = [_texts(entry, wanted) for entry in self._page(level, dict(keys), offset, wanted)]
            known, offset = len(answers), offset + len(page)
            answers |= {answer.get(_UID_KEYS[level], ""): answer for answer in page}
            if len(answers) > most:
                raise dicom_error("pacs_too_much", f"the PACS has more than {most} answers")
            # A PACS that does not know offsets sends its first page again.
            if len(answers) == known:
                return list(answers.values())

    def _page(self, level: Level, keys: dict[str, str], offset: int, wanted: Sequence[str]) -> list[dict[str, Any]]:
        path = {}
        if level != "STUDY":
            path["study_instance_uid"] = keys.pop("StudyInstanceUID")
        if level == "IMAGE":
            path["series_instance_uid"] = keys.pop("SeriesInstanceUID")
        searches: dict[Level, Callable[..., list[dict[str, Any]]]] = {
            "STUDY": self._client.search_for_studies,
            "SERIES": self._client.search_for_series,
            "IMAGE": self._client.search_for_instances,
        }
        return searches[level](**path, search_filters=keys, fields=list(wanted), offset=offset or None)


def _texts(entry: dict[str, Any], keywords: Sequence[str]) -> dict[str, str]:
    """Returns the elements of a data set in DICOM JSON as text (PS3.18 Annex F)."""
    texts = {}
    for keyword in keywords:
        element = entry.get(f"{tag_for_keyword(keyword):08X}")
        if element is not None:
            texts[keyword] = "\\".join(str(value) for value in element.get("Value", []) if value is not None).strip()
    return texts


def _batches(instances: Sequence[Path | Dataset]) -> Iterator[list[bytes]]:
    """Returns the instances as files, as many at a time as fit into a message of moderate size."""
    batch: list[bytes] = []
    for instance in instances:
        content = _encoded(instance)
        if batch and sum(map(len, batch)) + len(content) > _BATCH_BYTES:
            yield batch
            batch = []
        batch.append(content)
    yield batch


def _encoded(instance: Path | Dataset) -> bytes:
    if isinstance(instance, Dataset):
        buffer = BytesIO()
        instance.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()
    try:
        return instance.read_bytes()
    except OSError as error:
        raise dicom_error("unreadable_file", f"a file to send cannot be read ({error.strerror})") from None


def _expect_stored(answer: requests.Response, count: int) -> None:
    """Holds what the PACS says it stored against what was sent (PS3.18 10.5.3)."""
    if answer.status_code not in (200, 202, 409):
        answer.raise_for_status()
        raise http_fault(answer.status_code)
    said = answer.json()
    said = said[0] if isinstance(said, list) else said
    stored, failed = (len(said.get(tag, {}).get("Value", [])) for tag in (_STORED_TAG, _FAILED_TAG))
    if failed or stored != count:
        raise dicom_error("pacs_not_stored", f"the PACS stored {stored} of {count} instances")
