"""Opens series for the tests of volumes, de-identified as a site does."""

from pathlib import Path

from fedvoxel.deid.keys import DeidKeys
from fedvoxel.deid.policy import DeidPolicy
from fedvoxel.deid.series import DeidentifiedSeries, deidentify_series
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.series import SeriesFiles, find_series

POLICY = DeidPolicy(project="tests", faces="kept", unnamed_patients="by_study")
KEYS = DeidKeys.of("5a" * 32, "tests")


def clean(files: SeriesFiles) -> DeidentifiedSeries:
    """De-identifies a series."""
    return deidentify_series(files, [read_header(path) for path in files.paths], POLICY, KEYS, frozenset())


def only_files(folder: Path) -> SeriesFiles:
    """The only series of a folder."""
    inventory = find_series(folder)
    assert len(inventory.series) == 1, inventory.refused
    return inventory.series[0]


def only_series(folder: Path) -> DeidentifiedSeries:
    """The only series of a folder, de-identified."""
    return clean(only_files(folder))
