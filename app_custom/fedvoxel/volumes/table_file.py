"""Reads a hospital's own tables: regular files of text, of an expected size, and nothing else in their place."""

import csv
import io
from pathlib import Path

from fedvoxel.plain_file import read_plain

Rows = list[dict[str, str | None]]
UNREADABLE = (OSError, UnicodeDecodeError, csv.Error)
"""What reading a table may end with."""


def read_rows(path: Path, delimiter: str = ",") -> tuple[tuple[str, ...], Rows]:
    """Returns the columns and the rows of a UTF-8 table.

    Args:
        path: The table; its first line names the columns.
        delimiter: What stands between two values.

    Raises:
        OSError: It is missing, unreadable, larger than 64 MB, or no regular file.
        UnicodeDecodeError: It is not UTF-8.
        csv.Error: It is no table.
    """
    text = read_plain(path).decode("utf-8-sig")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    return tuple(reader.fieldnames or ()), list(reader)
