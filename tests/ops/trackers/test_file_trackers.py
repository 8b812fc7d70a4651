"""CSV and TensorBoard, read back from the disk."""

import csv
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fedvoxel.federation.outcome import write_outcome
from fedvoxel.ops.trackers.content import Point, TrackedRun
from fedvoxel.ops.trackers.csv_tracker import CsvTracker
from fedvoxel.ops.trackers.run_record import find_record
from fedvoxel.ops.trackers.sender import Sender
from fedvoxel.ops.trackers.sent import SentFile
from fedvoxel.ops.trackers.tensorboard_tracker import TensorBoardTracker
from fedvoxel.ops.trackers.tracker import Tracker
from tests.ops.trackers.fake_tracker import run_of, under_way
from tests.sample_run import sample_outcome


def _tracked(folder: Path, tracker: Tracker, state: Path) -> TrackedRun:
    """Sends the sample run in two calls: after five rounds, and when it has ended."""
    for outcome in (under_way(5), sample_outcome()):
        write_outcome(outcome, folder / "outcome.json")
        run = find_record(str(folder)).read()
        sender = Sender(tracker, SentFile(state, run.id, tracker.name))
        sender.send(run, files=True)
        sender.close()
    return run


def _table(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_csv_holds_every_value_once(tmp_path: Path) -> None:
    run = _tracked(tmp_path / "job", CsvTracker(tmp_path / "out"), tmp_path / "state")
    (folder,) = (tmp_path / "out").iterdir()
    heading, *rows = _table(folder / "metrics.csv")
    assert heading == ["metric", "round", "value"]
    assert sorted(Point(metric, int(index), float(value)) for metric, index, value in rows) == sorted(
        run.content.points
    )
    assert dict(_table(folder / "tags.csv")[1:]) == run.content.tags  # type: ignore[arg-type]
    assert dict(_table(folder / "params.csv")[1:]) == run.content.params  # type: ignore[arg-type]
    assert (folder / "outcome.json").read_bytes() == run.content.files["outcome.json"]


def test_a_cell_is_no_formula(tmp_path: Path) -> None:
    tracker = CsvTracker(tmp_path)
    tracker.start(run_of(1), None)
    tracker.log_params({"job_name": '=HYPERLINK("http://x")', "comment": "a, b\nc"})
    (folder,) = tmp_path.iterdir()
    assert _table(folder / "params.csv")[1:] == [["job_name", '\'=HYPERLINK("http://x")'], ["comment", "a, b\nc"]]


def test_tensorboard_shows_every_value_at_its_round(tmp_path: Path) -> None:
    run = _tracked(tmp_path / "job", TensorBoardTracker(tmp_path / "out"), tmp_path / "state")
    (folder,) = (tmp_path / "out").iterdir()
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    found = {(name, event.step): event.value for name in events.Tags()["scalars"] for event in events.Scalars(name)}
    assert found == {(one.metric, one.round): pytest.approx(one.value, rel=1e-6) for one in run.content.points}
    assert sum(len(events.Scalars(name)) for name in events.Tags()["scalars"]) == len(run.content.points)
    (text,) = (event.tensor_proto.string_val[0].decode() for event in events.Tensors("parameters"))
    assert "| rounds_planned | 12 |" in text
    last = [event.tensor_proto.string_val[0].decode() for event in events.Tensors("tags")][-1]
    assert "| status | finished |" in last
    assert (folder / "outcome.json").read_bytes() == run.content.files["outcome.json"]


def test_a_table_on_tensorboards_page_keeps_its_columns(tmp_path: Path) -> None:
    tracker = TensorBoardTracker(tmp_path)
    tracker.start(run_of(1), None)
    tracker.log_params({"odd": "a | b\nc"})
    assert str(tmp_path) in tracker.finish(run_of(1))
    (folder,) = tmp_path.iterdir()
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    assert r"| odd | a \| b c |" in events.Tensors("parameters")[0].tensor_proto.string_val[0].decode()
