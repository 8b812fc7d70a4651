"""What the sender asks of a tracker, and no more: five systems have it in common."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fedvoxel.ops.trackers.content import Point, TrackedRun


class Tracker(Protocol):
    """Is one system that keeps runs. Every method may raise what its client raises; the sender makes one line of it.

    Attributes:
        name: What people call it.
        whole: Whether each session holds the whole run, and takes the place of the one before: so are files that are
            imported as one. Otherwise a session goes on with the run, and is given what is new only.
    """

    name: str
    whole: bool

    def start(self, run: TrackedRun, handle: str | None) -> str:
        """Begins a session.

        Args:
            run: The run.
            handle: What the tracker calls the run; None where it does not know the run yet.

        Returns:
            What the tracker calls the run.
        """

    def log_params(self, params: Mapping[str, str]) -> None:
        """Takes parameters."""

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Takes tags, in place of those of the same name."""

    def log_points(self, points: Sequence[Point]) -> None:
        """Takes values of metrics."""

    def log_file(self, name: str, content: bytes) -> None:
        """Takes a file, in place of one of the same name."""

    def finish(self, run: TrackedRun) -> str:
        """Ends the session; the run has ended too, or not.

        Returns:
            Where it can be looked at, or what to do next, in one line.
        """
