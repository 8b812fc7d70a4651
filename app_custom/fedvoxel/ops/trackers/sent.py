"""What was sent of one run to one tracker, kept in a small file, so that a second call sends only what is new.

The file holds no secret and nothing that is not in the run's outcome. What could not be sent is not queued here: the
outcome itself is the queue.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import Field

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import TrackerError
from fedvoxel.records.atomic import write_json
from fedvoxel.records.names import Sha256


class Sent(FrozenModel):
    """Is the content of the file.

    Attributes:
        handle: What the tracker calls the run; None before it was begun there.
        params: As sent.
        tags: As sent last.
        points: Values as sent last, by metric and round.
        files: Hash of each file as sent last.
    """

    schema_version: Literal[1] = 1
    handle: str | None = None
    params: dict[str, str] = Field(default_factory=dict)
    tags: dict[str, str] = Field(default_factory=dict)
    points: dict[str, dict[int, float]] = Field(default_factory=dict)
    files: dict[str, Sha256] = Field(default_factory=dict)


class SentFile:
    """Is the file of one run and one tracker."""

    def __init__(self, folder: Path, run_id: str, place: str) -> None:
        """Touches no file.

        Args:
            folder: Where such files are kept.
            run_id: The run.
            place: The tracker and where it is; only its hash is part of the name.
        """
        self.path = folder / f"{run_id}-{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"

    def read(self) -> Sent:
        """Returns what was sent; nothing where there is no file.

        Raises:
            ConfigError: The file is damaged.
        """
        return load_json_config(Sent, self.path, "the note of what was sent") if self.path.is_file() else Sent()

    def write(self, sent: Sent) -> None:
        """Keeps what was sent.

        Raises:
            TrackerError: The file cannot be written.
        """
        try:
            write_json(self.path, sent.model_dump(mode="json"))
        except OSError as error:
            raise _unwritable(error) from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lets one process at a time send this run to this tracker.

        Raises:
            TrackerError: Another does, or the folder cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise _unwritable(error) from None
        try:
            _lock(handle)
            yield
        finally:
            os.close(handle)


def default_folder() -> Path:
    """Returns the folder in the user's state folder. Source: the XDG base directory specification."""
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return folder / "fedvoxel" / "tracked"


def _lock(handle: int) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise TrackerError("another `fedvoxel track` is sending this run there; wait until it ends") from None


def _unwritable(error: OSError) -> TrackerError:
    what = error.strerror or type(error).__name__
    return TrackerError(f"the note of what was sent cannot be kept ({what}); choose another folder with --state")
