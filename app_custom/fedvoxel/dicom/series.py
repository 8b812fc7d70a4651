"""Finds the series in a folder of files that nobody vouches for."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedvoxel.dicom.doubtful import may_be_an_image
from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.inventory_entry import Entry, read_entry
from fedvoxel.errors import DicomError

Progress = Callable[[int, int], None]
"""Is told how many files are done, and of how many."""


@dataclass(frozen=True)
class SeriesFiles:
    """Is one series of one patient: where its files lie and what they say they are.

    Attributes:
        patient_id: PatientID, as in the files, "" where there is none; never shown.
        issuer: IssuerOfPatientID, or "".
        study_uid: StudyInstanceUID.
        series_uid: SeriesInstanceUID.
        modality: Modality.
        sop_class_uids: The SOP classes in the series, sorted.
        frame_of_reference_uid: FrameOfReferenceUID, or "" where there is none or not one only.
        referenced_series: SeriesInstanceUIDs that a SEG or RTSTRUCT was drawn on, sorted.
        paths: The files, sorted.
    """

    patient_id: str = field(repr=False)
    issuer: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    modality: str = field(repr=False)
    sop_class_uids: tuple[str, ...] = field(repr=False)
    frame_of_reference_uid: str = field(repr=False)
    referenced_series: tuple[str, ...] = field(repr=False)
    paths: tuple[Path, ...] = field(repr=False)


@dataclass(frozen=True)
class Inventory:
    """Is what a folder holds.

    Attributes:
        series: The series, sorted by their UID.
        refused: (reason, number of files) of what is not used, sorted by reason.
        doubtful: What is not used and may be an image all the same: damaged files, links, folders that are closed.
    """

    series: tuple[SeriesFiles, ...]
    refused: tuple[tuple[str, int], ...]
    doubtful: tuple[Path, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class _Refusals:
    """Collects what is not used."""

    counts: Counter[str] = field(default_factory=Counter)
    doubtful: list[Path] = field(default_factory=list)

    def note(self, path: Path, reason: str) -> None:
        self.counts[reason] += 1
        if may_be_an_image(path, reason):
            self.doubtful.append(path)


def find_series(folder: Path, progress: Progress | None = None) -> Inventory:
    """Walks a folder and sorts its files into series, whatever they are called; links are not followed.

    A file that comes twice with the same bytes is used once. Instances that share a SeriesInstanceUID but not their
    patient and study are all refused.

    Raises:
        DicomError: The folder cannot be read.
    """
    refused = _Refusals()
    paths = sorted(_files(folder, refused))
    entries = []
    for done, path in enumerate(paths, start=1):
        try:
            entries.append(read_entry(path))
        except DicomError as error:
            refused.note(path, error.reason)
        if progress is not None:
            progress(done, len(paths))
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in _without_copies(entries, refused.counts):
        groups[entry.series_uid].append(entry)
    series = [found for uid in sorted(groups) if (found := _series_of(groups[uid], refused.counts))]
    return Inventory(tuple(series), tuple(sorted(refused.counts.items())), tuple(refused.doubtful))


def _files(folder: Path, refused: _Refusals) -> Iterator[Path]:
    """Yields the regular files below a folder; counts links, and what is neither file nor folder, as refused."""
    waiting = [folder]
    while waiting:
        inner = waiting.pop()
        try:
            with os.scandir(inner) as listed:
                entries = list(listed)
        except OSError as error:
            if inner == folder:
                raise dicom_error("unreadable_file", f"the folder cannot be read ({type(error).__name__})") from None
            refused.note(inner, "unreadable_file")
            continue
        for entry in entries:
            if entry.is_symlink():
                refused.note(Path(entry.path), "link")
            elif entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            else:
                refused.counts["unreadable_file"] += 1


def _without_copies(entries: Sequence[Entry], refused: Counter[str]) -> Iterator[Entry]:
    """Yields the instances; of those with the same SOPInstanceUID and the same bytes only the first."""
    alike: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        alike[entry.sop_instance_uid].append(entry)
    for same in alike.values():
        yield same[0]
        if len(same) == 1:
            continue
        seen = {_digest(same[0].path)}
        for entry in same[1:]:
            digest = _digest(entry.path)
            if digest in seen:
                refused["repeated_instance"] += 1
                continue
            seen.add(digest)
            yield entry


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise dicom_error("unreadable_file", f"a file went away ({type(error).__name__})") from None


def _series_of(entries: Sequence[Entry], refused: Counter[str]) -> SeriesFiles | None:
    first = entries[0]
    owners = {(entry.patient_id, entry.issuer, entry.study_uid, entry.modality) for entry in entries}
    if len(owners) > 1:
        refused["mixed_patients"] += len(entries)
        return None
    frames = {entry.frame_of_reference_uid for entry in entries}
    return SeriesFiles(
        patient_id=first.patient_id,
        issuer=first.issuer,
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        modality=first.modality,
        sop_class_uids=tuple(sorted({entry.sop_class_uid for entry in entries})),
        frame_of_reference_uid=frames.pop() if len(frames) == 1 else "",
        referenced_series=tuple(sorted({uid for entry in entries for uid in entry.referenced_series})),
        paths=tuple(sorted(entry.path for entry in entries)),
    )
