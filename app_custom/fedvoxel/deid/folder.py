"""De-identifies a folder of DICOM files into another one, so that a person can look at what the engine leaves.

Files are named by their new UIDs. It can be stopped and run again: what is already there as the policy wants it stays.
What another policy, key or set of names left is not mixed with it: a mark in the folder says by which it was made.
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


@dataclass(frozen=True)
class FolderOutcome:
    """Says what became of a folder's files.

    Attributes:
        written: Objects written.
        kept: Objects that had been written before.
        refused: (reason, number of files), sorted by reason.
        left_out: Files of patients who are left out.
    """

    written: int
    kept: int
    refused: tuple[tuple[str, int], ...]
    left_out: int = 0


def _nobody(_: SeriesFiles) -> bool:
    return False


@dataclass(frozen=True)
class HowToClean:
    """Is how a folder is de-identified.

    Attributes:
        policy: What was chosen for the cohort.
        keys: The project's keys.
        names: Names of segments and structures that may stay.
        is_left_out: Says whose series are not written, whatever the policy: those of patients who have objected.
    """

    policy: DeidPolicy
    keys: DeidKeys
    names: frozenset[str]
    is_left_out: Callable[[SeriesFiles], bool] = _nobody


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
    inventory = find_series(source)
    refused: Counter[str] = Counter(dict(inventory.refused))
    written = kept = left_out = 0
    for done, files in enumerate(inventory.series, start=1):
        try:
            if how.is_left_out(files):
                left_out += len(files.paths)
                _remove(files, out, how)
            else:
                new, old = _write_series(files, out, how)
                written, kept = written + new, kept + old
        except (DicomError, DeidError) as error:
            refused[error.reason] += len(files.paths)
            _remove(files, out, how)
        if progress is not None:
            progress(done, len(inventory.series))
    return FolderOutcome(written, kept, tuple(sorted(refused.items())), left_out)


def _write_series(files: SeriesFiles, out: Path, how: HowToClean) -> tuple[int, int]:
    headers = [read_header(path) for path in files.paths]
    series = deidentify_series(files, headers, how.policy, how.keys, how.names)
    folder = _own_folder(out, series)
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


def _remove(files: SeriesFiles, out: Path, how: HowToClean) -> None:
    """Removes what an earlier run wrote of a series that is refused or left out now."""
    for folder in out.glob(f"*/{how.keys.uid(files.series_uid)}"):
        shutil.rmtree(folder)
        if not any(folder.parent.iterdir()):
            folder.parent.rmdir()
