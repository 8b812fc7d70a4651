"""Where a build's series come from: all of a folder at once, or study by study from a PACS while others are built.

Series are pulled in a thread of their own; it waits when the build does not keep up, so that only a few studies lie on
the disk as the PACS has them. A study that cannot be pulled whole is handed on with the reason, and never used.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Protocol

from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.query import FoundSeries
from fedvoxel.dicom.series import Inventory, SeriesFiles, find_series
from fedvoxel.errors import DicomError, FedVoxelError
from fedvoxel.volumes.cohort.case import CaseRefused

_FATAL = {"pacs_unreachable", "pacs_tls", "pacs_rejected", "pacs_credentials", "pacs_unsupported", "incoming_disk"}
_STUDIES_AHEAD = 2
_PATIENCE_S = 0.2
_MARK_REASON = "not_dicom"


@dataclass(frozen=True)
class Study:
    """Is what a PACS has of one study for a cohort.

    Attributes:
        name: Its pseudonym.
        found_as: The hash of what was found and of what is looked for in it.
        images: Series of the images' modality.
        series: All series to pull.
    """

    name: str
    found_as: str
    images: tuple[FoundSeries, ...] = field(repr=False)
    series: tuple[FoundSeries, ...] = field(repr=False)


@dataclass(frozen=True)
class Batch:
    """Is a part of the source, ready to be built.

    Attributes:
        study: The study at a PACS; None for a folder.
        failure: Why the study could not be pulled.
    """

    inventory: Inventory
    study: Study | None = None
    failure: CaseRefused | None = None


class Puller(Protocol):
    """Is the part of a PACS that a feed needs."""

    def fetch(self, found: FoundSeries, store: IncomingStore) -> None:
        """Pulls a series into the store, or what is missing of it."""


class FolderFeed:
    """Hands out a folder as one batch."""

    def __init__(self, folder: Path, on_file: Callable[[int, int], None]) -> None:
        self._folder, self._on_file = folder, on_file
        self.exhausted = False

    def next(self, patience_s: float) -> Batch | None:
        """Returns the batch the first time.

        Raises:
            DicomError: The folder cannot be read.
        """
        if self.exhausted:
            return None
        self.exhausted = True
        return Batch(find_series(self._folder, self._on_file))

    def release(self, study: Study) -> None:
        """Does nothing: the folder is the hospital's."""

    def close(self) -> None:
        """Does nothing."""


class PacsFeed:
    """Pulls studies in a thread and hands them out as they come."""

    def __init__(
        self, pacs: Puller, store: IncomingStore, studies: Sequence[Study], on_series: Callable[[], None]
    ) -> None:
        self._pacs, self._store, self._studies, self._on_series = pacs, store, studies, on_series
        self._queue: Queue[Batch | BaseException | None] = Queue(_STUDIES_AHEAD)
        self._stop = threading.Event()
        self.exhausted = False
        threading.Thread(target=self._run, name="pull", daemon=True).start()

    def next(self, patience_s: float) -> Batch | None:
        """Returns the next study, or None if none comes within `patience_s`.

        Raises:
            DicomError: The PACS cannot be reached or does not let this site in, or the disk is full.
        """
        try:
            item = self._queue.get(timeout=patience_s) if patience_s else self._queue.get_nowait()
        except Empty:
            return None
        if isinstance(item, BaseException):
            raise item
        self.exhausted = item is None
        return item

    def release(self, study: Study) -> None:
        """Removes a study's series as the PACS has them."""
        for found in study.series:
            self._store.remove(found)

    def close(self) -> None:
        """Has the thread end after the series that it pulls."""
        self._stop.set()

    def _run(self) -> None:
        try:
            for study in self._studies:
                self._put(self._pulled(study))
                if self._stop.is_set():
                    return
            self._put(None)
        except BaseException as error:  # handed to the thread that builds
            self._put(error)

    def _put(self, item: Batch | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=_PATIENCE_S)
            except Full:
                continue
        return None

    def _pulled(self, study: Study) -> Batch:
        try:
            for found in study.series:
                self._pacs.fetch(found, self._store)
                self._on_series()
                if self._stop.is_set():
                    break
            folders = [self._store.series_folder(found) for found in study.series]
            return Batch(_together(find_series(folder) for folder in folders), study)
        except FedVoxelError as error:
            if not isinstance(error, DicomError) or error.reason in _FATAL:
                raise
            return Batch(Inventory((), ()), study, CaseRefused(error.reason, str(error)))


def studies_of(
    found: Iterable[FoundSeries],
    modality: str,
    pseudonym_of: Callable[[str], str],
    hash_of: Callable[[object], str],
) -> tuple[Study, ...]:
    """Sorts what a PACS found into studies, those without an image left out.

    Args:
        found: Series of images and labels.
        modality: The images' modality.
        pseudonym_of: Names a study.
        hash_of: Returns a keyed hash of JSON values.
    """
    groups: dict[str, list[FoundSeries]] = defaultdict(list)
    for series in found:
        groups[series.study_uid].append(series)
    studies = []
    for uid, group in sorted(groups.items()):
        images = tuple(series for series in group if series.modality == modality)
        listed = [[series.series_uid, series.modality, series.instances, series.patient_id] for series in group]
        if images:
            studies.append(Study(pseudonym_of(uid), hash_of(sorted(listed, key=str)), images, tuple(group)))
    return tuple(studies)


def _together(inventories: Iterable[Inventory]) -> Inventory:
    refused: Counter[str] = Counter()
    series: list[SeriesFiles] = []
    for inventory in inventories:
        series += inventory.series
        # Each folder holds one file that is not DICOM, the store's own mark; what came from the PACS was looked at.
        refused.update({reason: count for reason, count in inventory.refused if reason != _MARK_REASON})
    return Inventory(tuple(sorted(series, key=lambda each: each.series_uid)), tuple(sorted(refused.items())))
