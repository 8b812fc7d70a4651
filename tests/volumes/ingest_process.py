"""Takes folders in, one after the other, in a process of its own: python -m tests.volumes.ingest_process FOLDER...

Says on its standard output, for each file, series and refused file, what became of it, and what the whole took. What
libraries log, warn or print goes to the other streams, and so to the test.
"""

import json
import logging
import resource
import sys
import time
from pathlib import Path

from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.pixels import stored_pixels
from fedvoxel.dicom.series import find_series
from fedvoxel.errors import DicomError, FedVoxelError
from fedvoxel.volumes.dicom_volume import volume_of
from tests.volumes.clean_series import clean


def main() -> int:
    logging.basicConfig(level=logging.DEBUG)
    idle_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, folder in enumerate(sys.argv[1:]):
        for path in sorted(Path(folder).iterdir()):
            tell_of_pixels(number, path)
        started_s = time.perf_counter()
        inventory = find_series(Path(folder))
        for reason, count in inventory.refused:
            tell(number, reason, f"{count} files", started_s)
        for files in inventory.series:
            try:
                made = volume_of(clean(files))
                tell(number, "volume", repr(made.volume.shape), started_s)
            except FedVoxelError as error:
                tell(number, error.reason, str(error), started_s)
    tell(-1, "peak", str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - idle_kib), time.perf_counter())
    return 0


def tell_of_pixels(number: int, path: Path) -> None:
    """Has the pixels of a file decoded, whether or not a volume will need them."""
    started_s = time.perf_counter()
    try:
        shape = stored_pixels(path, read_header(path)).shape
        tell(number, "pixels", repr(shape), started_s)
    except DicomError as error:
        tell(number, error.reason, str(error), started_s)


def tell(number: int, outcome: str, text: str, started_s: float) -> None:
    sys.stdout.write(json.dumps([number, outcome, text, round(time.perf_counter() - started_s, 1)]) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
