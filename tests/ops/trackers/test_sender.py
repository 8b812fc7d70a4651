"""What is sent when: once, again after a failure, and never with a secret in what is said."""

import traceback
from collections.abc import Sequence
from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError, TrackerError
from fedvoxel.ops.trackers.content import Content, Point
from fedvoxel.ops.trackers.sender import Sender
from fedvoxel.ops.trackers.sent import Sent, SentFile, default_folder
from tests.ops.trackers.fake_tracker import SECRET, FakeTracker, run_of


@pytest.fixture
def file(tmp_path: Path) -> SentFile:
    return SentFile(tmp_path / "state", "ab" * 8, "fake there")


def _send(tracker: FakeTracker, file: SentFile, rounds: int, status: str = "unfinished") -> Content:
    sender = Sender(tracker, file)
    new = sender.send(run_of(rounds, status), files=True)
    sender.close()
    return new


def test_a_second_call_sends_only_what_is_new(file: SentFile) -> None:
    tracker = FakeTracker()
    assert len(_send(tracker, file, 2).points) == 2
    tracker.told.clear()
    assert _send(tracker, file, 3, "finished").points == (Point("loss", 2, 1 / 3),)
    assert tracker.told == [
        ("points", [Point("loss", 2, 1 / 3)]),
        ("file", ("outcome.json", b"3 finished")),
        ("tags", {"status": "finished"}),
    ], "the status is last: it says that all is there"
    assert tracker.begun == [None, "their-name"] and tracker.finished == ["unfinished", "finished"]


def test_a_third_call_asks_the_tracker_nothing(file: SentFile) -> None:
    tracker = FakeTracker()
    _send(tracker, file, 3, "finished")
    tracker.fails_at = "start"
    assert _send(tracker, file, 3, "finished").empty
    assert tracker.begun == [None]


def test_a_value_that_changed_is_sent_again(file: SentFile) -> None:
    tracker = FakeTracker()
    _send(tracker, file, 1)
    sender = Sender(tracker, file)
    run = run_of(1)
    changed = Content(run.content.params, run.content.tags, (Point("loss", 0, 0.25),))
    sender.send(type(run)(run.key, run.id, run.name, run.status, changed), files=False)
    assert tracker.points() == [Point("loss", 0, 1.0), Point("loss", 0, 0.25)]


@pytest.mark.parametrize("step", ["start", "params", "points", "file", "tags", "finish"])
@pytest.mark.parametrize("whole", [False, True])
def test_what_could_not_be_sent_is_sent_by_the_next_call(file: SentFile, step: str, whole: bool) -> None:
    tracker = FakeTracker(whole)
    tracker.fails_at = step
    with pytest.raises(TrackerError, match=r"^Fake did not take it: its client raised RuntimeError\. Nothing is lost"):
        _send(tracker, file, 3, "finished")
    tracker.fails_at = None
    _send(tracker, file, 3, "finished")
    assert {point.round for point in tracker.points()} == {0, 1, 2}
    done = [kind for kind, _ in tracker.told]
    assert done.count("tags") == (2 if step == "finish" else 1), "a run whose session did not end has not ended there"
    if not whole:
        assert [done.count(kind) for kind in ("params", "points", "file")] == [1, 1, 1], "noted when it was done"
    assert tracker.finished == ["finished"]


@pytest.mark.parametrize("step", ["start", "params", "points", "file", "tags", "finish"])
def test_a_secret_in_an_error_goes_nowhere(
    file: SentFile, step: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = FakeTracker()
    tracker.fails_at = step
    with pytest.raises(TrackerError) as caught:
        _send(tracker, file, 3, "finished")
    shown = "".join(traceback.format_exception(caught.value)) + capsys.readouterr().err + caplog.text
    kept = "".join(path.read_text() for path in file.path.parent.iterdir()) if file.path.parent.exists() else ""
    assert SECRET not in shown + kept


def test_many_values_go_in_steps_that_are_each_noted(file: SentFile, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, rounds = FakeTracker(), 1200
    taken = tracker.log_points

    def breaks_at_the_second(points: Sequence[Point]) -> None:
        tracker.fails_at = "points" if tracker.points() else None
        taken(points)

    monkeypatch.setattr(tracker, "log_points", breaks_at_the_second)
    with pytest.raises(TrackerError):
        _send(tracker, file, rounds)
    first = len(tracker.points())
    assert 0 < first <= 1000, "no more than MLflow takes at once"
    monkeypatch.setattr(tracker, "log_points", taken)
    tracker.fails_at = None
    _send(tracker, file, rounds)
    assert [point.round for point in tracker.points()] == list(range(rounds)), "each once"


def test_a_session_that_must_be_whole_gets_all_of_the_run(file: SentFile) -> None:
    tracker = FakeTracker(whole=True)
    _send(tracker, file, 2)
    tracker.told.clear()
    assert len(_send(tracker, file, 3, "finished").points) == 1
    assert [kind for kind, _ in tracker.told] == ["params", "points", "file", "tags"]
    assert len(tracker.points()) == 3


def test_a_whole_session_counts_from_its_end_only(file: SentFile) -> None:
    sender = Sender(FakeTracker(whole=True), file)
    sender.send(run_of(2), files=False)
    assert file.read() == Sent(), "one that is killed now has left nothing that can be imported"
    sender.close()
    assert file.read().points == {"loss": {0: 1.0, 1: 0.5}}


def test_one_session_goes_on_while_a_run_does(file: SentFile) -> None:
    tracker = FakeTracker()
    sender = Sender(tracker, file)
    for rounds in (1, 1, 2, 3):
        sender.send(run_of(rounds), files=False)
    assert tracker.begun == [None]
    assert [point.round for point in tracker.points()] == [0, 1, 2]
    assert sender.close() == "look there" and sender.close() is None


def test_two_places_and_two_runs_have_notes_of_their_own(tmp_path: Path) -> None:
    paths = {SentFile(tmp_path, run, place).path for run in ("ab", "cd") for place in ("here", "there")}
    assert len(paths) == 4


def test_one_process_at_a_time(file: SentFile) -> None:
    with file.held(), pytest.raises(TrackerError, match="another `fedvoxel track` is sending"), file.held():
        pass
    with file.held():
        assert file.read() == Sent()


def test_a_note_that_cannot_be_kept_or_read_is_one_error(tmp_path: Path, file: SentFile) -> None:
    (tmp_path / "state").write_text("a file in its place")
    with pytest.raises(TrackerError, match="choose another folder with --state"), file.held():
        pass
    with pytest.raises(TrackerError, match="choose another folder with --state"):
        file.write(Sent())
    damaged = SentFile(tmp_path, "cd", "there")
    damaged.path.write_text("{")
    with pytest.raises(ConfigError, match="the note of what was sent"):
        Sender(FakeTracker(), damaged)


def test_notes_lie_in_the_users_state_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "fedvoxel" / "tracked"
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".local" / "state" / "fedvoxel" / "tracked"
