"""Pulls the studies that a query names from a PACS into a folder, such as one that goes when they are predicted."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.pacs import Pacs
from fedvoxel.dicom.query import SeriesQuery
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.inference.refusal import prediction_error

Progress = Callable[[int, int], None]

_PREFIX = ".incoming-"


@contextmanager
def passing_folder(out: Path) -> Iterator[Path]:
    """Yields a folder in `out` for pulled images (mode 0700), which goes when the block is left.

    What programs left that were killed meanwhile goes first: it holds patients' images.
    """
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as used:
        with _locked(out):  # nobody takes a folder for abandoned that is made right now
            for left in out.glob(f"{_PREFIX}*"):
                with suppress(BlockingIOError), _locked(left, fcntl.LOCK_NB):
                    shutil.rmtree(left)
            folder = Path(used.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX, dir=out)))
            used.enter_context(_locked(folder))
        yield folder


def pull_images(
    pacs: Pacs, query: SeriesQuery, modalities: Sequence[str] | None, folder: Path, progress: Progress | None = None
) -> int:
    """Pulls the series of the studies that a query names, those of a model's modalities only; returns how many.

    Args:
        pacs: Where to look.
        query: Must name whole identifiers: of patients, accessions or studies.
        modalities: What the model was made for; None takes what the query finds.
        folder: Where they go (mode 0700).
        progress: Is told how many series are here, and of how many.

    Raises:
        ConfigError: The query names nobody, and would pull whatever the PACS has.
        PredictionError: no_study, or wrong_modality where no series is of these modalities.
        DicomError: The PACS fails.
    """
    if not query.names_studies:
        raise ConfigError("expected a query with StudyInstanceUID, AccessionNumber or PatientID, got none of them")
    found = pacs.find(query)
    if not found:
        raise prediction_error("no_study", "the PACS finds nothing")
    chosen = [series for series in found if modalities is None or series.modality in modalities]
    if not chosen:
        wanted = " or ".join(modalities or ())
        raise prediction_error("wrong_modality", f"none of the {len(found)} series that the PACS finds is {wanted}")
    store = IncomingStore(folder)
    for done, series in enumerate(chosen, start=1):
        pacs.fetch(series, store)
        if progress is not None:
            progress(done, len(chosen))
    return len(chosen)


@contextmanager
def _locked(folder: Path, flags: int = 0) -> Iterator[None]:
    """Holds a folder's lock, which the system gives up for a process that is killed."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
        yield
    finally:
        os.close(handle)
