"""Where a run's record is found, and what a tracker is told of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel import __version__
from fedvoxel.errors import ConfigError, JobError
from fedvoxel.federation.attempts import Attempt
from fedvoxel.federation.outcome import RunOutcome, write_outcome
from fedvoxel.federation.run_figures import round_figures
from fedvoxel.ops.trackers.content import Point
from fedvoxel.ops.trackers.run_record import RecordReader, find_record
from tests.blob_job import CLIENT, SERVER, job_documents
from tests.finished_job import blob_task, finished_job
from tests.ops.trackers.fake_tracker import under_way
from tests.sample_run import STARTED, private_outcome, sample_outcome


def _server(folder: Path, outcome: RunOutcome | None = None) -> Path:
    """Returns a server's kit with one run."""
    outcome = outcome or sample_outcome()
    write_outcome(outcome, folder / "state" / "runs" / outcome.run_key / "outcome.json")
    return folder


def _configure(folder: Path, documents: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (SERVER, CLIENT):
        (folder / Path(name).name).write_text(json.dumps(documents[name]))


def test_a_downloaded_job_with_its_words(tmp_path: Path) -> None:
    folder = finished_job(tmp_path, blob_task())
    run = find_record(str(folder)).read()
    assert (run.key, run.name, run.ended, run.failed) == ("blob_run", "blob_job", True, False)
    params = run.content.params
    assert params["job.cohort"] == "blobs" and params["job.training.network.name"] and params["rounds_planned"] == "3"
    assert params["sites"] == "hospital-a, hospital-b" and params["start_from"] == "the job's seed"
    assert run.content.files["outcome.json"] == (folder / "workspace" / "outcome.json").read_bytes()


def test_an_outcome_alone_is_enough(tmp_path: Path) -> None:
    write_outcome(sample_outcome(), tmp_path / "outcome.json")
    run = find_record(str(tmp_path / "outcome.json")).read(
        {"model_card.md": b"# card"}, {"package": "hippocampus 1.0.0"}
    )
    assert sorted(run.content.files) == ["model_card.md", "outcome.json"]
    tags = run.content.tags
    assert tags["status"] == "finished" and tags["job_id"] == sample_outcome().job_id and tags["attempts"] == "1"
    assert tags["tracked_by"] == f"fedvoxel {__version__}" and tags["version_nvflare"] == "2.9.0"
    assert tags["package"] == "hippocampus 1.0.0"


def test_every_round_has_its_metrics(tmp_path: Path) -> None:
    outcome = sample_outcome()
    write_outcome(outcome, tmp_path / "outcome.json")
    points = find_record(str(tmp_path)).read().content.points
    for record in outcome.rounds:
        for name, value in round_figures(record).items():
            assert Point(name, record.round, value) in points
    assert {point.round for point in points if point.metric.startswith("test_dice/")} == {11}


def test_an_epsilon_goes_with_the_whole_claim(tmp_path: Path) -> None:
    outcome = private_outcome()
    write_outcome(outcome, tmp_path / "outcome.json")
    content = find_record(str(tmp_path)).read().content
    assert [point.value for point in content.points if point.metric == "epsilon_per_patient"] == [
        outcome.guarantee and outcome.guarantee.epsilon
    ]
    for word in ("ε", "δ", "each patient", "add or remove one patient", "dp-accounting", "against one who"):
        assert word in content.tags["privacy"]


@pytest.mark.parametrize("name", ["hippocampus-2026-03", sample_outcome().job_id])
def test_a_run_under_way_at_the_server(tmp_path: Path, name: str) -> None:
    server = _server(tmp_path, under_way(2))
    _configure(server / sample_outcome().job_id / "app_server" / "config", job_documents())
    run = find_record(name, server).read()
    assert (run.key, run.status, run.ended) == ("hippocampus-2026-03", "unfinished", False)
    assert {point.round for point in run.content.points} == {0, 1}
    assert run.content.params["job.rounds.num_rounds"] == "1" and run.content.params["job.cohort"] == "blobs"


def test_all_attempts_at_a_run_are_one_run(tmp_path: Path) -> None:
    first = Attempt(job_id="first", started=STARTED, first_round=0)
    later = sample_outcome().finished
    second = Attempt(job_id="second", started=later, first_round=1)
    ids = []
    for number, attempts in enumerate(((), (first,), (first, second))):
        made = {"attempts": attempts, "job_id": attempts[-1].job_id if attempts else "first"}
        server = _server(tmp_path / str(number), sample_outcome().model_copy(update=made))
        ids.append(find_record(made["job_id"], server).read().id)  # type: ignore[arg-type]
    assert len(set(ids)) == 1
    other = _server(tmp_path / "other", sample_outcome().model_copy(update={"started": later}))
    assert find_record("hippocampus-2026-03", other).read().id not in ids, "another run that took the key"


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no run or job 'knee' .* \(it has hippocampus-2026-03\)"):
        find_record("knee", _server(tmp_path))
    with pytest.raises(JobError, match=r"no run or job '\.\./\.\.' "):
        find_record("../..", _server(tmp_path))
    with pytest.raises(JobError, match="it has none"):
        find_record("knee", tmp_path / "empty")
    with pytest.raises(JobError, match="is not a folder"):
        find_record(str(tmp_path / "missing"))


def test_a_record_that_goes_away_is_told(tmp_path: Path) -> None:
    path = tmp_path / "outcome.json"
    write_outcome(sample_outcome(), path)
    record = find_record(str(path))
    path.write_text("{")
    with pytest.raises(ConfigError, match="the run's outcome"):
        record.read()
    path.unlink()
    with pytest.raises(ConfigError, match="the run's outcome is missing"):
        record.read()


def test_a_record_is_read_again_only_if_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "outcome.json"
    write_outcome(under_way(1), path)
    look = RecordReader(find_record(str(path)), {}, {"package": "knee 1.0.0"})
    first = look()
    assert look() is first and first.content.tags["package"] == "knee 1.0.0"
    write_outcome(under_way(2), path)
    assert {point.round for point in look().content.points} == {0, 1}
    path.unlink()
    with pytest.raises(ConfigError, match="is missing"):
        look()
    write_outcome(sample_outcome(), path)
    assert look().ended


def test_words_of_any_shape_are_taken(tmp_path: Path) -> None:
    write_outcome(sample_outcome(), tmp_path / "outcome.json")
    documents: dict[str, Any] = {
        CLIENT: {
            "executors": [7, {"executor": {"args": {"long": "x" * 900, "lr:0": 1, "none": None, "list": [1, 2]}}}]
        },
        SERVER: ["no object"],
    }
    _configure(tmp_path / "app_server" / "config", documents)
    params = find_record(str(tmp_path)).read().content.params
    assert len(params["job.long"]) == 500 and params["job.lr_00003a0"] == "1" and params["job.list"] == "[1, 2]"
    assert "job.none" not in params
