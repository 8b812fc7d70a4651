"""Opens series for the tests of volumes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.pixels import stored_pixels
from fedvoxel.dicom.series import SeriesFiles, find_series


@dataclass(frozen=True)
class CleanSeries:
    """Has what `volume_of` uses of a de-identified series."""

    files: SeriesFiles
    headers: tuple[Dataset, ...]

    @property
    def modality(self) -> str:
        return self.files.modality

    def stored_pixels(self, index: int) -> NDArray[np.generic]:
        return stored_pixels(self.files.paths[index], self.headers[index])


def clean(files: SeriesFiles) -> CleanSeries:
    return CleanSeries(files, tuple(read_header(path) for path in files.paths))


def only_series(folder: Path) -> CleanSeries:
    inventory = find_series(folder)
    assert len(inventory.series) == 1, inventory.refused
    return clean(inventory.series[0])
