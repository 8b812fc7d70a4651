"""Writes scalars as TensorBoard event files into the job's result, without torch."""

import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


class EventFiles:
    """Appends scalars to an event file that `tensorboard --logdir` reads while the run goes on."""

    def __init__(self, folder: Path) -> None:
        """Opens a new event file in `folder`."""
        self._writer = EventFileWriter(str(folder))

    def add(self, tag: str, value: float, round_index: int) -> None:
        """Adds one scalar of one round."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
        self._writer.add_event(Event(wall_time=time.time(), step=round_index, summary=summary))

    def flush(self) -> None:
        """Hands everything added so far to the file."""
        self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        self._writer.close()
