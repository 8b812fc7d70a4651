"""A run's view, kept in its state while it goes on, for whoever may look at the server's files; it decides nothing.

FLARE tells the view to people with a session only. What cannot be written is tried again, and never ends a run.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.records.atomic import write_json

VIEW_FILE = "view.json"
"""The file's name in a run's state."""

LOOK_EVERY_S = 2.0
WRITE_EVERY_S = 15.0
"""A view that stays as it is, is written again so often: an older file is of a process that is gone."""

_logger = logging.getLogger(__name__)


class KeptView(FrozenModel):
    """Is a run's view at one moment.

    Attributes:
        job_id: The FLARE job that shows it.
        at: When it was written.
        view: What `RunView.shown` returned.
    """

    schema_version: Literal[1] = 1
    job_id: str
    at: AwareDatetime
    view: dict[str, Any]


@dataclass
class _Keeper:
    path: Path
    job_id: str
    shown: Callable[[], dict[str, Any]]
    written: dict[str, Any] | None = None
    written_at: float = 0.0
    failed: bool = False

    def look(self) -> None:
        """Writes the view if it has changed, or was not written for long; nothing before there is one."""
        view, now = self.shown(), time.monotonic()
        if not view or (view == self.written and now - self.written_at < WRITE_EVERY_S):
            return
        try:
            kept = KeptView(job_id=self.job_id, at=datetime.now(UTC), view=view)
            write_json(self.path, kept.model_dump(mode="json"), mode=0o600)
            self.written, self.written_at, self.failed = view, now, False
        except (OSError, ValueError) as error:
            if not self.failed:
                _logger.warning("event=view_not_kept reason=%s", type(error).__name__)
            self.failed = True

    def watch(self, ended: threading.Event) -> None:
        """Looks until the run has ended."""
        while not ended.wait(LOOK_EVERY_S):
            self.look()


@contextmanager
def keeping_view(folder: Path, job_id: str, shown: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Keeps a view as long as the block lasts, in a thread of its own.

    Args:
        folder: The run's folder in the server's state.
        job_id: The FLARE job.
        shown: Returns the view.
    """
    keeper, ended = _Keeper(folder / VIEW_FILE, job_id, shown), threading.Event()
    thread = threading.Thread(target=keeper.watch, args=(ended,), name="kept_view", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        keeper.look()


def read_view(folder: Path) -> KeptView | None:
    """Returns a run's view; None where none was kept.

    Raises:
        ConfigError: It is damaged.
    """
    path = folder / VIEW_FILE
    return load_json_config(KeptView, path, "the run's view") if path.exists() else None
