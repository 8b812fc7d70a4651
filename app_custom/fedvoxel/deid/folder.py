"""De-identifies a folder of DICOM files into another one, so that a person can look at what the engine leaves.

Files are named by their new UIDs. It can be stopped and run again: what is already there as the policy wants it stays.
What another policy, key or set of names left is not mixed with it: a mark in the folder says by which it was made.
A note beside each series says whose it is, in pseudonyms of the project's key, so that a patient who objects is taken
out again where the originals are gone by then.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.deid.keys import DeidKeys
from fedvoxel.deid.policy import DeidPolicy
from fedvoxel.deid.series import DeidentifiedSeries, deidentify_series
from fedvoxel.deid.writing import encode
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.series import SeriesFiles, find_series
from fedvoxel.errors import ConfigError, DeidError, DicomError
from fedvoxel.records.atomic import write_bytes

Progress = Callable[[int, int], None]
_OWNER_ONLY = 0o600
_MARK = ".made_by"
_WHOSE = ".whose"


@dataclass(frozen=True)
class FolderOutcome:
    """Says what became of a folder's files.

    Attributes:
        written: Objects written.
        kept: Objects that had been written before.
        refused: (reason, number of files), sorted by reason.
        left_out: Files of patients who are left out.
        removed: Objects of such patients that had been written before and are removed.
        whose_unknown: The series (PATIENT/SERIES, as they are called in the folder) that have no originals any more and
            no note of whose they are: nobody can tell whether their patients are left out.
    """

    written: int
    kept: int
    refused: tuple[tuple[str, int], ...]
    left_out: int = 0
    removed: int = 0
    whose_unknown: tuple[str, ...] = ()


def _unnamed(_: SeriesFiles) -> frozenset[str]:
    return frozenset()


@dataclass(frozen=True)
class HowToClean:
    """Is how a folder is de-identified.

    Attributes:
        policy: What was chosen for the cohort.
        keys: The project's keys.
        names: Names of segments and structures that may stay.
        whose: Returns every name that the site may have for a series or its patient in `left_out`.
        left_out: Whose series are not written, whatever the policy: the names of patients who have objected.
    """

    policy: DeidPolicy
    keys: DeidKeys
    names: frozenset[str]
    whose: Callable[[SeriesFiles], frozenset[str]] = _unnamed
    left_out: frozenset[str] = frozenset()

    def marks(self, names: frozenset[str]) -> frozenset[str]:
        """Returns names as a note has them: what is cleaned for a project is not joined with the site's own lists."""
        return frozenset(self.keys.uid(name) for name in names)


def deidentify_folder(source: Path, out: Path, how: HowToClean, progress: Progress | None = None) -> FolderOutcome:
    """Writes the cleaned objects of a folder to out/PATIENT/SERIES/INSTANCE.dcm (files 0600, folders 0700).

    Args:
        source: The folder with DICOM files, in any order and by whatever names.
        out: Where the cleaned objects go; neither inside `source` nor around it.
        how: How they are cleaned.
        progress: Is told how many series are done, and of how many.

    Raises:
        ConfigError: One folder lies in the other, or `out` holds what was made otherwise.
        DicomError: The folder cannot be read.
        OSError: The disk is full or not writable.
    """
    here, there = source.resolve(), out.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise ConfigError("expected two folders, neither inside the other: the originals, and the cleaned objects")
    _claim(out, how)
    removed = _remove_left_out(out, how)  # first: the originals may be gone, or be unreadable
    inventory = find_series(source)
    refused: Counter[str] = Counter(dict(inventory.refused))
    written = kept = left_out = 0
    for done, files in enumerate(inventory.series, start=1):
        try:
            if how.whose(files) & how.left_out:
                left_out += len(files.paths)
                removed += _remove(files, out, how)
            else:
                new, old = _write_series(files, out, how)
                written, kept = written + new, kept + old
        except (DicomError, DeidError) as error:
            refused[error.reason] += len(files.paths)
            _remove(files, out, how)
        if progress is not None:
            progress(done, len(inventory.series))
    present = frozenset(how.keys.uid(files.series_uid) for files in inventory.series)
    unknown = _whose_unknown(out, present)
    return FolderOutcome(written, kept, tuple(sorted(refused.items())), left_out, removed, unknown)


def _write_series(files: SeriesFiles, out: Path, how: HowToClean) -> tuple[int, int]:
    headers = [read_header(path) for path in files.paths]
    series = deidentify_series(files, headers, how.policy, how.keys, how.names)
    folder = _own_folder(out, series)
    _note(folder, how.marks(how.whose(files)))  # before the objects: none is ever there of which nobody can tell
    written = 0
    for index, header in enumerate(series.headers):
        path = folder / f"{header.SOPInstanceUID}.dcm"
        content = encode(series.dataset(index))
        if not path.is_file() or path.read_bytes() != content:  # as another policy left it
            write_bytes(path, content, _OWNER_ONLY)
            written += 1
    return written, len(series.headers) - written


def _own_folder(out: Path, series: DeidentifiedSeries) -> Path:
    folder = out / series.patient / series.series_uid
    for each in (out, folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
        each.chmod(0o700)
    return folder


def _claim(out: Path, how: HowToClean) -> None:
    """Makes the folder its owner's own, and marks by what it is made; refuses one that was made by something else."""
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    chosen = json.dumps([how.policy.model_dump(mode="json"), sorted(how.names)], sort_keys=True)
    made_by = f"{how.keys.uid(chosen)}\n".encode()  # with the key: another key is another mark, and nothing is told
    mark = out / _MARK
    if any(out.iterdir()) and not (mark.is_file() and mark.read_bytes() == made_by):
        raise ConfigError(
            "expected an empty folder for the cleaned objects, or one that the same policy, key and names made; "
            "name another folder, or empty this one"
        )
    out.chmod(0o700)
    write_bytes(mark, made_by, _OWNER_ONLY)


def _note(folder: Path, marks: frozenset[str]) -> None:
    content = "".join(f"{mark}\n" for mark in sorted(marks)).encode()
    note = folder / _WHOSE
    if marks and not (note.is_file() and note.read_bytes() == content):
        write_bytes(note, content, _OWNER_ONLY)


def _marks_of(folder: Path) -> frozenset[str]:
    """Returns whose a written series is; nothing where an earlier version wrote it, or the note is damaged."""
    note = folder / _WHOSE
    marks = note.read_text(encoding="ascii", errors="replace").split() if note.is_file() else []
    return frozenset(marks) if all(mark.startswith("2.25.") for mark in marks) else frozenset()


def _series_in(out: Path) -> list[Path]:
    return sorted(folder for folder in out.glob("*/*") if folder.is_dir())


def _remove_left_out(out: Path, how: HowToClean) -> int:
    """Removes what an earlier run wrote of patients who are left out now; returns the number of objects."""
    left_out = how.marks(how.left_out)
    return sum(_remove_series(folder) for folder in _series_in(out) if _marks_of(folder) & left_out)


def _remove(files: SeriesFiles, out: Path, how: HowToClean) -> int:
    """Removes what an earlier run wrote of a series that is refused or left out now; returns the number of objects."""
    return sum(_remove_series(folder) for folder in out.glob(f"*/{how.keys.uid(files.series_uid)}"))


def _remove_series(folder: Path) -> int:
    objects = list(folder.glob("*.dcm"))
    for path in objects:  # before the note, without which nobody could tell whose the others are
        path.unlink()
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
    return len(objects)


def _whose_unknown(out: Path, present: frozenset[str]) -> tuple[str, ...]:
    """Names the series without a note that are not `present` among the originals (by new UID)."""
    unknown = (folder for folder in _series_in(out) if folder.name not in present and not _marks_of(folder))
    return tuple(folder.relative_to(out).as_posix() for folder in unknown)
