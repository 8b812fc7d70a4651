"""TensorBoard: one folder of event files for each run, which `tensorboard --logdir` reads while the run goes on."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedvoxel.ops.trackers.content import Point, TrackedRun
from fedvoxel.records.atomic import write_bytes


class TensorBoardTracker:
    """Appends a new event file in each session."""

    name = "TensorBoard"
    whole = False

    def __init__(self, folder: Path) -> None:
        """Touches no file; each run has a folder in `folder`."""
        self._folder = self._here = folder
        self._writer: Any = None

    def start(self, run: TrackedRun, handle: str | None) -> str:
        """Opens a new event file in the run's folder, whose name is the handle."""
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        handle = handle or f"{run.key}-{run.id[:8]}"
        self._here = self._folder / handle
        self._writer = EventFileWriter(str(self._here))
        return handle

    def log_params(self, params: Mapping[str, str]) -> None:
        """Shows them as a table on the page of texts."""
        self._add_table("parameters", params)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Shows them as a table on the page of texts."""
        self._add_table("tags", tags)

    def log_points(self, points: Sequence[Point]) -> None:
        """Adds scalars, and hands them to the file."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        for one in points:
            summary = Summary(value=[Summary.Value(tag=one.metric, simple_value=one.value)])
            self._writer.add_event(Event(wall_time=time.time(), step=one.round, summary=summary))
        self._writer.flush()

    def log_file(self, name: str, content: bytes) -> None:
        """Writes it beside the event files: TensorBoard keeps no files."""
        write_bytes(self._here / name, content)

    def finish(self, run: TrackedRun) -> str:
        """Closes the event file."""
        self._writer.close()
        return f"look at it with: tensorboard --logdir {self._folder}"

    def _add_table(self, title: str, words: Mapping[str, str]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.text.summary_v2 import text_pb

        rows = "\n".join(f"| {_cell(name)} | {_cell(value)} |" for name, value in words.items())
        summary: Summary = text_pb(title, f"| name | value |\n| --- | --- |\n{rows}")
        self._writer.add_event(Event(wall_time=time.time(), step=0, summary=summary))
        self._writer.flush()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
