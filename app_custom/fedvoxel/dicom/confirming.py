"""Asks a PACS whether it has what was sent: a status that says stored is a promise, a list that shows it is proof."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.pacs import Pacs
from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.stream import opened

_TAGS = (0x00080018, 0x0020000D, 0x0020000E)
_TRIES, _PAUSE_S = 5, 1.0


def store_confirmed(pacs: Pacs, paths: Sequence[Path]) -> None:
    """Stores files at a PACS and asks it for each of them; it is given some seconds to list what it took.

    Storing the same files again is harmless.

    Raises:
        DicomError: It did not take every file, or does not list it afterwards.
    """
    expected = _by_series(paths)
    pacs.send(paths)
    missing = 0
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_S)
        missing = sum(len(wanted - pacs.instances(*series)) for series, wanted in expected.items())
        if not missing:
            return
    raise dicom_error("pacs_not_stored", f"the PACS took {len(paths)} objects, and does not list {missing} of them")


def _by_series(paths: Sequence[Path]) -> Mapping[tuple[str, str], set[str]]:
    """Returns the SOPInstanceUIDs of files by (StudyInstanceUID, SeriesInstanceUID)."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    with quiet():
        for path in paths:
            with opened(path, _TAGS) as file:
                instance, study, series = (str(file.header[tag].value) for tag in _TAGS)
            found[study, series].add(instance)
    return found
