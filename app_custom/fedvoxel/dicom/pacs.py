"""Finds, pulls and sends series at a hospital's PACS, whichever protocol it speaks.

What a PACS says is not believed: answers are held against the question, and a series counts as pulled only when every
instance that was listed has come, each of the right patient, study and series.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.incoming import IncomingStore, Progress, Receipt
from fedvoxel.dicom.pacs_config import DimseConfig, PacsConfig
from fedvoxel.dicom.query import FoundSeries, SeriesQuery

if TYPE_CHECKING:
    from pydicom import Dataset

Level = Literal["STUDY", "SERIES", "IMAGE"]
RETURN_KEYS: dict[Level, tuple[str, ...]] = {
    "STUDY": ("PatientID", "StudyInstanceUID", "StudyDate", "StudyDescription", "AccessionNumber", "ModalitiesInStudy"),
    "SERIES": (
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
    ),
    "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"),
}
"""What a question of each level asks to be told."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_COUNT = re.compile(r"[0-9]{1,9}")
_MODALITY = re.compile(r"[A-Z0-9_]{1,16}")
"""What is shown to a person is of this form: a PACS could put a name, or control characters, there."""


class Search(Protocol):
    """Asks one PACS several questions."""

    def ask(self, level: Level, keys: Mapping[str, str], most: int, more: Sequence[str] = ()) -> list[dict[str, str]]:
        """Returns the answers as keyword and text, with those of the keywords `more` that the PACS returns.

        Raises:
            DicomError: The PACS fails, or has more than `most` answers.
        """


class Transport(Protocol):
    """Is one protocol to one PACS; everything raises `DicomError` only."""

    def check(self) -> None:
        """Does nothing if the PACS answers this site and grants it query and retrieval."""

    def searching(self) -> AbstractContextManager[Search]:
        """Returns a block in which questions can be asked."""

    def retrieve(self, request: "Request", progress: Progress | None) -> None:
        """Has the PACS hand out what is asked for, into the request's receipt; fewer may come."""

    def send(self, instances: "Sequence[Path | Dataset]") -> None:
        """Stores the instances at the PACS, or says that it did not."""


@dataclass(frozen=True)
class Request:
    """Is what one retrieval asks for.

    Attributes:
        sop_class_uids: The kinds of its instances, as the PACS lists them; empty where it does not say.
        instance_uids: Single instances; the whole series if empty.
    """

    found: FoundSeries
    receipt: Receipt
    sop_class_uids: frozenset[str]
    instance_uids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pacs:
    """Is a hospital's PACS."""

    config: PacsConfig
    transport: Transport

    def check(self) -> None:
        """Does nothing if the PACS answers, knows this site, and grants it query and retrieval.

        Raises:
            DicomError: What is wrong, and what to do.
        """
        self.transport.check()
        with self.transport.searching() as search:
            search.ask("STUDY", {"StudyInstanceUID": "2.25.0"}, self.config.limits.series)

    def find(self, query: SeriesQuery) -> tuple[FoundSeries, ...]:
        """Returns the series that match, each once, in the order of their UIDs.

        Raises:
            DicomError: The PACS fails, or finds more than the limit allows.
        """
        found: dict[str, FoundSeries] = {}
        most = self.config.limits.series
        with self.transport.searching() as search:
            for study in self._studies(search, query):
                for series in _series_of(search, study, query, most):
                    found[series.series_uid] = series
                if len(found) > most:
                    raise dicom_error("pacs_too_much", f"the query finds more than {most} series")
        return tuple(found[uid] for uid in sorted(found))

    def fetch(self, found: FoundSeries, store: IncomingStore, progress: Progress | None = None) -> None:
        """Pulls a series into `store`, or what is missing of it; a complete one is not asked for again.

        Raises:
            DicomError: The series is not complete; what has come stays and is not asked for again.
        """
        if store.is_complete(found):
            return
        classes = self._listed(found.study_uid, found.series_uid)
        if found.instances not in (None, len(classes)):
            said = f"the PACS says that a series has {found.instances} instances, and lists {len(classes)}"
            raise dicom_error("pacs_incomplete", said)
        receipt = store.receipt(found, classes, self.config.limits)
        kinds = frozenset(kind for kind in classes.values() if kind)
        if len(receipt.missing()) == len(classes):
            self.transport.retrieve(Request(found, receipt, kinds), progress)
        missing = receipt.missing()
        if missing:
            self.transport.retrieve(Request(found, receipt, kinds, missing), progress)
        receipt.complete()

    def send(self, instances: "Sequence[Path | Dataset]") -> None:
        """Stores instances at the PACS; sending the same again is harmless.

        Raises:
            DicomError: It did not take every one of them.
        """
        if instances:
            self.transport.send(instances)

    def instances(self, study_uid: str, series_uid: str) -> frozenset[str]:
        """Returns the SOPInstanceUIDs that the PACS lists of a series, none if it does not have it.

        Raises:
            DicomError: The PACS fails.
        """
        return frozenset(self._listed(study_uid, series_uid))

    def owners(self, study_uid: str) -> frozenset[tuple[str, str]]:
        """Returns (PatientID, IssuerOfPatientID) of the patients that the PACS has a study of, none if it has none.

        Raises:
            DicomError: The PACS fails.
        """
        keys = {"StudyInstanceUID": study_uid}
        with self.transport.searching() as search:
            answers = search.ask("STUDY", keys, self.config.limits.series, more=("IssuerOfPatientID",))
        if any(answer.get("StudyInstanceUID", study_uid) != study_uid for answer in answers):
            raise dicom_error("pacs_garbled", "the PACS lists another study than it was asked about")
        return frozenset((answer.get("PatientID", ""), answer.get("IssuerOfPatientID", "")) for answer in answers)

    def _studies(self, search: Search, query: SeriesQuery) -> Iterator[dict[str, str]]:
        seen: set[str] = set()
        for keys in query.study_keys():
            for answer in search.ask("STUDY", keys, self.config.limits.series):
                uid = _uid(answer, "StudyInstanceUID")
                if uid not in seen and query.wants_study(answer):
                    seen.add(uid)
                    yield answer

    def _listed(self, study_uid: str, series_uid: str) -> dict[str, str]:
        """Returns the SOP class of each instance of a series, by SOPInstanceUID; empty where the PACS does not say."""
        keys = {"StudyInstanceUID": study_uid, "SeriesInstanceUID": series_uid}
        with self.transport.searching() as search:
            answers = search.ask("IMAGE", keys, self.config.limits.instances)
        if any(answer.get(key, uid) != uid for answer in answers for key, uid in keys.items()):
            raise dicom_error("pacs_garbled", "the PACS lists instances of another series than it was asked about")
        return {_uid(answer, "SOPInstanceUID"): answer.get("SOPClassUID", "") for answer in answers}


def open_pacs(config: PacsConfig, base: Path) -> Pacs:
    """Returns the PACS that a site's file describes; nothing is sent yet.

    Args:
        config: Its description.
        base: The folder that relative paths count from.

    Raises:
        ConfigError: A certificate, key or password file is missing, unusable, or readable by others.
    """
    if isinstance(config, DimseConfig):
        from fedvoxel.dicom.dimse import DimseTransport

        return Pacs(config, DimseTransport(config, base))
    from fedvoxel.dicom.dicomweb import DicomwebTransport

    return Pacs(config, DicomwebTransport(config, base))


def _series_of(search: Search, study: dict[str, str], query: SeriesQuery, most: int) -> Iterator[FoundSeries]:
    study_uid = study["StudyInstanceUID"]
    for answer in search.ask("SERIES", {"StudyInstanceUID": study_uid}, most):
        uid = _uid(answer, "SeriesInstanceUID")
        if answer.get("StudyInstanceUID", study_uid) != study_uid:
            raise dicom_error("pacs_garbled", "the PACS lists series of another study than it was asked about")
        if query.wants_series(answer):
            count, modality = answer.get("NumberOfSeriesRelatedInstances", ""), answer.get("Modality", "")
            instances = int(count) if _COUNT.fullmatch(count) else None
            shown = modality if _MODALITY.fullmatch(modality) else ""
            yield FoundSeries(study.get("PatientID", ""), study_uid, uid, shown, instances)


def _uid(answer: dict[str, str], key: str) -> str:
    uid = answer.get(key, "")
    if len(uid) > 64 or not _UID.fullmatch(uid):
        raise dicom_error("pacs_garbled", f"the PACS answers without a {key}, or with one that is none")
    return uid
