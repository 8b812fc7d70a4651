"""Downloaded jobs: where the outcome is found, and what is said where it is not."""

import hashlib
from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError, JobError
from fedvoxel.evaluation.job_result import model_warnings, open_job_result
from fedvoxel.federation.outcome import ModelFile, write_outcome
from tests.sample_run import sample_outcome


def _download(folder: Path, job: str = "job-1") -> Path:
    write_outcome(sample_outcome(), folder / job / "workspace" / "outcome.json")
    return folder / job


def test_accepts_the_job_its_workspace_and_its_parent(tmp_path: Path) -> None:
    job = _download(tmp_path)
    for folder in (job, job / "workspace", tmp_path):
        result = open_job_result(folder)
        assert result.outcome == sample_outcome()
        assert result.folder == job.resolve()
        assert result.workspace.resolve() == (job / "workspace").resolve()


def test_refuses_a_folder_of_several_jobs(tmp_path: Path) -> None:
    _download(tmp_path, "job-1")
    _download(tmp_path, "job-2")
    with pytest.raises(JobError, match=r"several jobs \(job-1, job-2\)"):
        open_job_result(tmp_path)


def test_says_what_was_expected_where_there_is_no_outcome(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no outcome\.json"):
        open_job_result(tmp_path)
    with pytest.raises(JobError, match="is not a folder"):
        open_job_result(tmp_path / "nothing")


def test_refuses_a_truncated_outcome(tmp_path: Path) -> None:
    path = _download(tmp_path) / "workspace" / "outcome.json"
    path.write_text(path.read_text(encoding="utf-8")[:500], encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read as JSON"):
        open_job_result(tmp_path)


def test_warns_of_models_that_are_missing_or_not_the_ones_that_the_run_wrote(tmp_path: Path) -> None:
    content = b"weights"
    model = ModelFile(file="global_model.npz", sha256=hashlib.sha256(content).hexdigest())
    outcome = sample_outcome().model_copy(update={"model": model, "best_model": None})
    workspace = tmp_path / "workspace"
    write_outcome(outcome, workspace / "outcome.json")
    assert "not in the downloaded job" in model_warnings(open_job_result(tmp_path))[0]
    (workspace / "global_model.npz").write_bytes(content)
    assert model_warnings(open_job_result(tmp_path)) == ()
    (workspace / "global_model.npz").write_bytes(b"other")
    assert "do not use it" in model_warnings(open_job_result(tmp_path))[0]
