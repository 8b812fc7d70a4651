"""Reads which NIfTI file is the label of which image series; stays inside the site."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedvoxel.errors import CohortError
from fedvoxel.volumes.table_file import UNREADABLE, read_rows

_COLUMNS = ("series", "label")


@dataclass(frozen=True)
class LabelTable:
    """Knows the label file of each series."""

    labels: Mapping[str, Path] = field(repr=False)

    def label_of(self, series_uid: str) -> Path | None:
        """Returns a series' label, or None if the table names none or there is no such file."""
        path = self.labels.get(series_uid)
        return path if path is not None and path.is_file() else None

    def stamps(self) -> list[tuple[str, int, int]]:
        """Returns (series, size, time of change) of each file that is there, to see whether one changed."""
        there = ((uid, path.stat()) for uid, path in sorted(self.labels.items()) if path.is_file())
        return [(uid, status.st_size, status.st_mtime_ns) for uid, status in there]


def read_label_table(table: Path) -> LabelTable:
    """Reads a comma-separated UTF-8 table with the columns series and label; paths count from the table's folder.

    Raises:
        CohortError: The table cannot be read, lacks a column, or names a series twice.
    """
    try:
        columns, rows = read_rows(table)
    except UNREADABLE as error:
        raise _unusable("a comma-separated UTF-8 table", type(error).__name__) from None
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise _unusable("the columns series (SeriesInstanceUID) and label", f"no column {', '.join(missing)}")
    pairs = [((row["series"] or "").strip(), (row["label"] or "").strip()) for row in rows]
    labels = {uid: table.parent / label for uid, label in pairs if uid and label}
    if len(labels) != sum(bool(uid and label) for uid, label in pairs):
        raise _unusable("each series once", "one that stands there twice")
    return LabelTable(labels)


def _unusable(expected: str, came: str) -> CohortError:
    return CohortError(f"build.labels.table cannot be used: expected {expected}, got {came}")
