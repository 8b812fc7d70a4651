"""A pipeline's folder is its owner's, one process runs it, and a step waits for one that is still at work."""

import stat
import threading
from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.ops.pipelines.record import Failure, PipelineRecord

JOB = "a" * 64


def test_a_submission_is_begun_once_for_each_job(tmp_path: Path) -> None:
    record = PipelineRecord(tmp_path / "run")
    begun = record.begin_submission(JOB)
    assert PipelineRecord(tmp_path / "run").begin_submission(JOB) == begun == record.submission(JOB)
    other = record.begin_submission("b" * 64)
    assert other.token != begun.token and record.begin_submission(JOB) == begun, "the former job is known again"
    record.end_submission(JOB)
    assert record.submission(JOB) is None and record.submission("b" * 64) == other


def test_a_damaged_note_is_refused_and_no_new_submission_is_begun(tmp_path: Path) -> None:
    record = PipelineRecord(tmp_path)
    (tmp_path / "submissions").mkdir()
    (tmp_path / "submissions" / f"{JOB}.json").write_text('{"schema_version": 1, "job": "a"}')
    with pytest.raises(ConfigError, match="the note of the submission is not valid"):
        record.begin_submission(JOB)


def test_the_folder_is_closed_and_held_by_one(tmp_path: Path) -> None:
    record = PipelineRecord(tmp_path / "run")
    with record.held():
        assert stat.S_IMODE(record.folder.stat().st_mode) == 0o700
        with pytest.raises(ConfigError, match="runs already in another process"), PipelineRecord(record.folder).held():
            pytest.fail("two hold it")
    with record.held():
        record.keep_failure(Failure(step="wait", exit_code=10, message="no"))
    assert record.failure() == Failure(step="wait", exit_code=10, message="no")
    record.forget_failure()
    assert record.failure() is None


def test_a_step_waits_until_the_one_at_work_is_done(tmp_path: Path) -> None:
    record, order = PipelineRecord(tmp_path / "run"), []

    def work() -> None:
        with PipelineRecord(record.folder).at_work():
            order.append("second")

    with record.at_work():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join(0.5)
        order.append("first")
    thread.join(30)
    assert order == ["first", "second"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    record = PipelineRecord(tmp_path / "file" / "run")
    with pytest.raises(ConfigError, match="the pipeline's folder cannot be written"), record.held():
        pytest.fail("it was made")


def test_what_an_interrupted_step_has_left_is_removed(tmp_path: Path) -> None:
    record = PipelineRecord(tmp_path)
    (record.fresh("package") / "half").write_text("")
    assert list(record.fresh("package").iterdir()) == []
