"""CSV: one table of metrics for each run, with what else is known of it beside. It needs no package."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fedvoxel.ops.trackers.content import Point, TrackedRun
from fedvoxel.records.atomic import write_bytes, write_text


class CsvTracker:
    """Writes `metrics.csv` (metric, round, value), `params.csv` and `tags.csv` (name, value), each whole."""

    name = "CSV"
    whole = True

    def __init__(self, folder: Path) -> None:
        """Touches no file; each run has a folder in `folder`."""
        self._folder = self._here = folder
        self._points: dict[tuple[str, int], float] = {}
        self._words: dict[str, dict[str, str]] = {}

    def start(self, run: TrackedRun, handle: str | None) -> str:
        """Chooses the run's folder, whose name is the handle."""
        handle = handle or f"{run.key}-{run.id[:8]}"
        self._here, self._points, self._words = self._folder / handle, {}, {}
        return handle

    def log_params(self, params: Mapping[str, str]) -> None:
        """Writes all parameters until now."""
        self._write_words("params", params)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Writes all tags as they are now."""
        self._write_words("tags", tags)

    def log_points(self, points: Sequence[Point]) -> None:
        """Writes all metrics until now, by metric and round."""
        self._points |= {(one.metric, one.round): one.value for one in points}
        rows = ((metric, str(index), repr(value)) for (metric, index), value in sorted(self._points.items()))
        self._write("metrics.csv", ("metric", "round", "value"), rows)

    def log_file(self, name: str, content: bytes) -> None:
        """Writes a copy of the file."""
        write_bytes(self._here / name, content)

    def finish(self, run: TrackedRun) -> str:
        """Says where the table is."""
        return f"look at {self._here / 'metrics.csv'}"

    def _write_words(self, kind: str, words: Mapping[str, str]) -> None:
        self._words[kind] = self._words.get(kind, {}) | dict(words)
        self._write(f"{kind}.csv", ("name", "value"), self._words[kind].items())

    def _write(self, name: str, heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(heading)
        table.writerows([_no_formula(cell) for cell in row] for row in rows)
        write_text(self._here / name, text.getvalue())


def _no_formula(cell: str) -> str:
    """Returns a cell that a spreadsheet takes for text: site and job names are other people's words."""
    return f"'{cell}" if cell[:1] in ("=", "+", "@", "\t") else cell
