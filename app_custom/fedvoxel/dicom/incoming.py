"""Where series from a PACS lie until they are used: whole and checked instances only, a series only once complete.

Names are hashes, files have mode 0600, folders 0700. An instance is written beside its place, looked at and renamed:
a kill or a power cut leaves whole instances and a series without its mark, which the next pull continues. A folder is
for one process: a receipt removes what others are writing. The build of a cohort, which alone pulls, locks the cohort's
folder first, and the incoming folder is named after that one.
"""

import hashlib
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.pacs_config import PacsLimits
from fedvoxel.dicom.query import FoundSeries
from fedvoxel.dicom.stream import opened
from fedvoxel.errors import DicomError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import write_json

Progress = Callable[[int, int], None]
"""Is told how many instances of a series are here, and how many there are."""

_MARK = "complete.json"
_PART = ".part-"
_ROUNDS = 3
_TAGS = (0x00080018, 0x00100020, 0x0020000D, 0x0020000E)


@dataclass(frozen=True)
class _Identity:
    instance_uid: str
    patient_id: str
    study_uid: str
    series_uid: str


class IncomingStore:
    """Keeps what came from a PACS, one folder for each series."""

    def __init__(self, folder: Path) -> None:
        with _on_disk():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)
        self.folder = folder

    def series_folder(self, found: FoundSeries) -> Path:
        """Returns the folder of a series, whether or not it is there; its DICOM files end with .dcm."""
        return self.folder / _hash(found.series_uid)

    def is_complete(self, found: FoundSeries) -> bool:
        """Says whether every instance that the PACS listed when the series was pulled is here, and still is."""
        folder = self.series_folder(found)
        try:
            sizes = json.loads(read_plain(folder / _MARK))["sizes_bytes"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False
        here = _sizes(folder)
        return sizes == here and found.instances in (None, len(here))

    def remove(self, found: FoundSeries) -> None:
        """Removes a series, complete or not; nothing happens if it is not there."""
        folder = self.series_folder(found)
        (folder / _MARK).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)

    def receipt(self, found: FoundSeries, listed: Iterable[str], limits: PacsLimits) -> "Receipt":
        """Returns what takes the listed instances of a series and nothing else; what is here already stays."""
        return Receipt(self, found, listed, limits)

    def take_pushed(self, content: Iterable[bytes], limits: PacsLimits) -> None:
        """Takes one instance of whatever series that a PACS sends unasked; no series becomes complete by this.

        Raises:
            DicomError: It is too large, is not DICOM, differs from what is here, or the disk is full.
        """
        with _Part(self.folder, limits) as part:
            part.write(content)
            series = self.folder / _hash(part.identity.series_uid)
            with _on_disk():
                series.mkdir(exist_ok=True, mode=0o700)
            part.keep(series)


class Receipt:
    """Takes the instances of one series, from one thread or several.

    Attributes:
        folder: Where they lie.
    """

    def __init__(self, store: IncomingStore, found: FoundSeries, listed: Iterable[str], limits: PacsLimits) -> None:
        self.folder = store.series_folder(found)
        self._found, self._listed, self._limits = found, tuple(listed), limits
        self._lock, self._unlisted, self._taken = threading.Lock(), 0, 0
        expected = {_name(uid) for uid in self._listed}
        with _on_disk():
            self.folder.mkdir(exist_ok=True, mode=0o700)
            (self.folder / _MARK).unlink(missing_ok=True)
            for path in self.folder.iterdir():
                if path.name not in expected:
                    path.unlink()

    def count(self) -> tuple[int, int]:
        """Returns how many instances are here, and how many were listed."""
        return len(self._listed) - len(self.missing()), len(self._listed)

    def missing(self) -> tuple[str, ...]:
        """Returns the SOPInstanceUIDs that are listed and not here."""
        here = _sizes(self.folder)
        return tuple(uid for uid in self._listed if _name(uid) not in here)

    def take(self, content: Iterable[bytes]) -> None:
        """Writes one instance, a DICOM file in pieces, and keeps it if it belongs to the series.

        Raises:
            DicomError: It is of another series or patient, too large, is not DICOM, differs from what is here, or the
                disk is full; nothing of it is kept.
        """
        with self._lock, _Part(self.folder, self._limits) as part:
            self._taken += 1
            if self._taken > _ROUNDS * len(self._listed):
                raise dicom_error("pacs_too_much", "the PACS sends the same instances again and again")
            part.write(content)
            identity, found = part.identity, self._found
            if (identity.patient_id, identity.study_uid, identity.series_uid) != (
                found.patient_id.strip(),
                found.study_uid,
                found.series_uid,
            ):
                raise dicom_error("pacs_foreign_instance", "the PACS sent an instance of another series or patient")
            if identity.instance_uid not in self._listed:
                self._unlisted += 1
            else:
                part.keep(self.folder)

    def complete(self) -> None:
        """Marks the series as complete.

        Raises:
            DicomError: Instances are missing, or more came than were listed, or the disk is full.
        """
        here, listed = self.count()
        if self._unlisted:
            found = f"the series grew while it was pulled: {self._unlisted} instances came that were not listed"
            raise dicom_error("pacs_incomplete", found)
        if here < listed or not listed:
            raise dicom_error("pacs_incomplete", f"{here} of {listed} listed instances came")
        with _on_disk():
            write_json(self.folder / _MARK, {"schema_version": 1, "sizes_bytes": _sizes(self.folder)}, mode=0o600)


class _Part:
    """Is one instance on its way to its place; leaving the block removes what was not kept."""

    def __init__(self, folder: Path, limits: PacsLimits) -> None:
        self._folder, self._limits = folder, limits

    def __enter__(self) -> "_Part":
        with _on_disk():
            self._handle, name = tempfile.mkstemp(dir=self._folder, prefix=_PART)
        self._path = Path(name)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
        self._path.unlink(missing_ok=True)

    def write(self, content: Iterable[bytes]) -> None:
        """Writes the pieces within the limits, reaches the disk, and reads which instance it is."""
        most, size = self._limits.instance_mib * 2**20, 0
        free = shutil.disk_usage(self._folder).free - self._limits.free_gib * 2**30
        for piece in content:
            size += len(piece)
            if size > most:
                raise dicom_error("pacs_too_much", f"an instance has more than {self._limits.instance_mib} MiB")
            if size > free:
                raise dicom_error("incoming_disk", f"less than {self._limits.free_gib} GiB would be left on the disk")
            self._append(piece)
        with _on_disk():
            os.fsync(self._handle)
        self.identity = _identity(self._path)

    def _append(self, piece: bytes) -> None:
        left = memoryview(piece)
        with _on_disk():
            while left:
                left = left[os.write(self._handle, left) :]

    def keep(self, folder: Path) -> None:
        """Puts the instance into its place; the same bytes again change nothing."""
        place = folder / _name(self.identity.instance_uid)
        if place.exists():
            if _digest(place) != _digest(self._path):
                found = "an instance came that differs from the one of the same identity that is here"
                raise dicom_error("pacs_changed_instance", found)
            return
        with _on_disk():
            os.replace(self._path, place)


def _identity(path: Path) -> _Identity:
    try:
        with opened(path, _TAGS) as file:
            values = [str(file.header.get(tag).value or "").strip() if tag in file.header else "" for tag in _TAGS]
    except DicomError as error:
        raise dicom_error("pacs_garbled", f"what came is not a DICOM instance ({error.reason})") from None
    instance_uid, patient_id, study_uid, series_uid = values
    if not (instance_uid and study_uid and series_uid):
        raise dicom_error("pacs_garbled", "what came lacks the UIDs of its instance, series or study")
    return _Identity(instance_uid, patient_id, study_uid, series_uid)


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        found = f"the incoming folder could not be written ({os.strerror(error.errno or 0)})"
        raise dicom_error("incoming_disk", found) from None


def _sizes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(folder.glob("*.dcm"))}


def _name(instance_uid: str) -> str:
    return f"{_hash(instance_uid)}.dcm"


def _hash(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:40]


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
