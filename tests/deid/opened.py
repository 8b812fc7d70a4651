"""Opens, de-identifies and writes files as the tests of this room need it."""

from pathlib import Path
from typing import Any

from fedvoxel.deid.keys import DeidKeys
from fedvoxel.deid.policy import DeidPolicy
from fedvoxel.deid.series import DeidentifiedSeries, deidentify_series
from fedvoxel.deid.writing import encode
from fedvoxel.dicom.header import read_header
from fedvoxel.dicom.series import SeriesFiles, find_series

KEY = "0123456789abcdef" * 4
PROJECT = "tests"


def policy(**changed: Any) -> DeidPolicy:
    """A policy by which the test's scans pass."""
    return DeidPolicy(**{"project": PROJECT, "body_part": "ABDOMEN", **changed})


def keys(key: str = KEY, project: str = PROJECT) -> DeidKeys:
    """The keys of a project."""
    return DeidKeys.of(key, project)


def only_files(folder: Path) -> SeriesFiles:
    """The only series of a folder."""
    inventory = find_series(folder)
    assert len(inventory.series) == 1, inventory.refused
    return inventory.series[0]


def cleaned(
    files: SeriesFiles,
    chosen: DeidPolicy | None = None,
    with_keys: DeidKeys | None = None,
    names: frozenset[str] = frozenset(),
) -> DeidentifiedSeries:
    """De-identifies a series."""
    headers = [read_header(path) for path in files.paths]
    return deidentify_series(files, headers, chosen or policy(), with_keys or keys(), names)


def written(series: DeidentifiedSeries) -> list[bytes]:
    """The complete objects as they would be written."""
    return [encode(series.dataset(index)) for index in range(len(series.headers))]
