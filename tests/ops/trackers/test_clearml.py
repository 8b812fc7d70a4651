"""A real offline session of ClearML, read back from its ZIP."""

import json
import zipfile
from pathlib import Path

import pytest

from fedvoxel.federation.outcome import write_outcome
from fedvoxel.ops.trackers.content import Point
from fedvoxel.ops.trackers.run_record import find_record
from tests.ops.trackers.command import files_with, track
from tests.ops.trackers.fake_tracker import SECRET, under_way
from tests.sample_run import sample_outcome

pytestmark = pytest.mark.slow
pytest.importorskip("clearml", reason="needs ClearML: pip install -c constraints.txt '.[clearml]'")


def test_an_offline_session_holds_the_whole_run(tmp_path: Path) -> None:
    job, out = tmp_path / "job", tmp_path / "out"
    for outcome in (under_way(5), sample_outcome()):
        write_outcome(outcome, job / "outcome.json")
        done = track(tmp_path / "home", job, "--to", "clearml", "--out", out, "--project", "consortium")
        assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.count("\n") == 2 and "clearml.Task.import_offline_session(" in done.stdout
    (packed,) = out.iterdir()
    sent = find_record(str(job)).read().content
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "read")
    assert _points(tmp_path / "read" / "metrics.jsonl") == sorted(sent.points)
    _check_task(json.loads((tmp_path / "read" / "task.json").read_text()))
    (artefact,) = (tmp_path / "read").rglob("outcome.json/outcome.json")
    assert artefact.read_bytes() == sent.files["outcome.json"]
    assert files_with(tmp_path / "read", SECRET) == []
    left = [path for path in (tmp_path / "home").rglob("offline-*") if path.is_dir() or path.suffix == ".zip"]
    assert left == [], "only the ZIP in the chosen folder is kept"


def _points(path: Path) -> list[Point]:
    events = [event for line in path.read_text().splitlines() for event in json.loads(line)]
    scalars = [event for event in events if event["type"] == "training_stats_scalar"]
    named = (
        (one["metric"] if one["variant"] == "all" else f"{one['metric']}/{one['variant']}", one["iter"], one["value"])
        for one in scalars
    )
    return sorted(Point(*one) for one in named)


def _check_task(task: dict[str, object]) -> None:
    assert (task["name"], task["project_name"], task["tags"]) == (
        "hippocampus_fedavg",
        "consortium",
        ["hippocampus-2026-03"],
    )
    words = task["hyperparams"]
    assert isinstance(words, dict)
    assert words["General"]["rounds_planned"]["value"] == "12"
    assert words["FedVoxel"]["status"]["value"] == "finished"
    assert "script" not in task, "neither the command line nor what is installed is in it"
