"""A run is followed to its end, whatever the tracker does meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError, TrackerError
from fedvoxel.ops.following import follow
from fedvoxel.ops.trackers.content import TrackedRun
from fedvoxel.ops.trackers.sender import Sender
from fedvoxel.ops.trackers.sent import SentFile
from tests.ops.trackers.fake_tracker import FakeTracker, run_of


class Looks:
    """Shows one after another of some runs; an error is raised. `before` is called with the number of the look."""

    def __init__(self, tracker: FakeTracker, *seen: TrackedRun | ConfigError, down: tuple[int, ...] = ()) -> None:
        self._tracker, self._seen, self._down = tracker, iter(seen), down
        self._count = 0

    def __call__(self) -> TrackedRun:
        self._tracker.fails_at = "points" if self._count in self._down else None
        self._count += 1
        found = next(self._seen)
        if isinstance(found, ConfigError):
            raise found
        return found


@pytest.fixture
def tracker() -> FakeTracker:
    return FakeTracker()


@pytest.fixture
def sender(tmp_path: Path, tracker: FakeTracker) -> Iterator[Sender]:
    made = Sender(tracker, SentFile(tmp_path, "ab" * 8, "fake"))
    yield made
    made.close()


def _follow(looks: Looks, sender: Sender) -> list[str]:
    troubles: list[str] = []

    def send(run: TrackedRun) -> None:
        sender.send(run, files=run.ended)

    follow(looks, send, 0.0, troubles.append)
    return troubles


def test_every_round_is_sent_once_and_files_at_the_end(tracker: FakeTracker, sender: Sender) -> None:
    assert _follow(Looks(tracker, run_of(0), run_of(1), run_of(1), run_of(3), run_of(3, "finished")), sender) == []
    assert [point.round for point in tracker.points()] == [0, 1, 2]
    assert [what for kind, what in tracker.told if kind == "file"] == [("outcome.json", b"3 finished")]


def test_a_tracker_that_is_down_for_a_while_gets_all_later(tracker: FakeTracker, sender: Sender) -> None:
    looks = Looks(tracker, run_of(1), run_of(2), run_of(2), run_of(3), run_of(3, "finished"), down=(1, 2))
    troubles = _follow(looks, sender)
    assert len(troubles) == 1 and "Fake did not take it" in troubles[0], "said once, not at every look"
    assert [point.round for point in tracker.points()] == [0, 1, 2]


def test_a_tracker_that_is_down_at_the_end_is_an_error(tracker: FakeTracker, sender: Sender) -> None:
    with pytest.raises(TrackerError, match="Nothing is lost"):
        _follow(Looks(tracker, run_of(1), run_of(2, "finished"), down=(1,)), sender)


def test_a_record_that_is_gone_for_a_while_is_waited_for(tracker: FakeTracker, sender: Sender) -> None:
    gone = ConfigError("the run's outcome is missing")
    assert _follow(Looks(tracker, run_of(1), gone, gone, run_of(2, "finished")), sender) == [str(gone)]
    assert len(tracker.points()) == 2


def test_a_record_that_was_never_there_is_an_error(tracker: FakeTracker, sender: Sender) -> None:
    with pytest.raises(ConfigError, match="missing"):
        _follow(Looks(tracker, ConfigError("the run's outcome is missing")), sender)
    assert tracker.begun == []
