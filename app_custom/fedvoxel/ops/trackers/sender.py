"""Sends to a tracker what it does not have yet, and notes each step as soon as it is done.

A step that was done and could not be noted any more is done again: with the same value at the same round.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from fedvoxel.ops.trackers.content import Content, Point, TrackedRun, hash_of
from fedvoxel.ops.trackers.reasons import in_our_words
from fedvoxel.ops.trackers.sent import Sent, SentFile
from fedvoxel.ops.trackers.tracker import Tracker

_POINTS_AT_ONCE = 500
"""Values in one step; MLflow takes at most 1000."""


class Sender:
    """Keeps one session with a tracker, which begins with the first thing that is new."""

    def __init__(self, tracker: Tracker, file: SentFile) -> None:
        """Reads what was sent before; asks the tracker nothing.

        Raises:
            ConfigError: The note of it is damaged.
        """
        self._tracker, self._file = tracker, file
        self._sent = file.read()
        self._run: TrackedRun | None = None

    def send(self, run: TrackedRun, files: bool) -> Content:
        """Sends what is new.

        Args:
            run: The run as it stands.
            files: Whether to send its files too; they change with every round, so that once is enough, at the end.

        Returns:
            What was new.

        Raises:
            TrackerError: The tracker did not take all of it. What it did take is noted.
        """
        content = run.content if files else replace(run.content, files={})
        new = content.without(self._sent)
        if new.empty:
            return new
        with self._telling():
            if self._run is None:
                handle = self._tracker.start(run, self._sent.handle)
                self._run = run
                self._note(Sent(handle=handle) if self._tracker.whole else self._sent_with(handle=handle))
            self._run = run
            self._steps(content.without(self._sent))
        return new

    def close(self) -> str | None:
        """Ends the session, and returns what the tracker says of the run; None where none was begun.

        Raises:
            TrackerError: It could not be ended.
        """
        if self._run is None:
            return None
        with self._telling():
            said = self._tracker.finish(self._run)
            self._run = None
            self._file.write(self._sent)
        return said

    def _steps(self, new: Content) -> None:
        if new.params:
            self._tracker.log_params(new.params)
            self._note(self._sent_with(params=self._sent.params | dict(new.params)))
        for begin in range(0, len(new.points), _POINTS_AT_ONCE):
            some = new.points[begin : begin + _POINTS_AT_ONCE]
            self._tracker.log_points(some)
            self._note(self._sent_with(points=_added(self._sent, some)))
        for name, content in new.files.items():
            self._tracker.log_file(name, content)
            self._note(self._sent_with(files=self._sent.files | {name: hash_of(content)}))
        # Last, as the status says that all of a run is there; and noted when the session has ended, with which the
        # tracker takes the run for ended too.
        if new.tags:
            self._tracker.log_tags(new.tags)
            self._sent = self._sent_with(tags=self._sent.tags | dict(new.tags))

    def _sent_with(self, **changes: object) -> Sent:
        return self._sent.model_copy(update=changes)

    def _note(self, sent: Sent) -> None:
        """Keeps what was sent; of a whole session nothing counts before its end."""
        self._sent = sent
        if not self._tracker.whole:
            self._file.write(sent)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            with in_our_words(self._tracker.name):
                yield
        except BaseException:
            # Whatever it is: the session is over, and what is noted on the disk is what counts.
            self._run = None
            self._sent = self._file.read()
            raise


def _added(sent: Sent, points: Sequence[Point]) -> dict[str, dict[int, float]]:
    added: defaultdict[str, dict[int, float]] = defaultdict(dict, {name: dict(of) for name, of in sent.points.items()})
    for one in points:
        added[one.metric][one.round] = one.value
    return dict(added)
