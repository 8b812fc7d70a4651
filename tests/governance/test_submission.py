"""The hash that is approved: it covers all that would run at a site, and nothing that the server notes."""

import json
import os
from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError, JobError
from fedvoxel.governance import submission
from fedvoxel.governance.submission import Submission, submission_from_json, submission_of, submission_of_folder
from tests.approval_kits import blob_job
from tests.blob_job import CLIENT, META

NOTES = {
    "job_id": "1",
    "status": "SUBMITTED",
    "submit_time": 1.5,
    "submitter_name": "a",
    "byoc": True,
    "study": "default",
}


def came(job: Path, **meta: object) -> Submission:
    """What a site gets of a job: its app, and the meta as the server has it."""
    return submission_of(json.loads((job / META).read_text()) | meta, job / "app")


def test_what_comes_has_the_hash_of_the_folder_that_was_submitted(tmp_path: Path) -> None:
    job = blob_job(tmp_path / "job")
    (job / "app" / "config" / ".__nvfl_sig.json").write_text("{}")
    assert came(job, **NOTES).sha256 == submission_of_folder(job, "hospital-a").sha256


@pytest.mark.parametrize(
    "meta", [{"scope": "other"}, {"min_clients": 1}, {"name": "b"}, {"launcher_spec": {"a": 1}}, {"new_in_flare": 1}]
)
def test_whatever_of_the_meta_is_not_the_servers_counts(tmp_path: Path, meta: dict[str, object]) -> None:
    job = blob_job(tmp_path / "job")
    assert came(job, **meta).sha256 != came(job).sha256


def test_a_meta_of_text_that_nobody_can_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="is no JSON"):
        came(blob_job(tmp_path / "job"), name="\ud800")


@pytest.mark.parametrize("name", ["pipe.json", ".__nvfl_sig.json"])
def test_a_pipe_in_a_job_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    job = blob_job(tmp_path / "job")
    os.mkfifo(job / "app" / "config" / name)
    with pytest.raises(JobError, match="something else than files"):
        came(job)


def test_each_byte_and_each_name_of_a_file_counts(tmp_path: Path) -> None:
    job = blob_job(tmp_path / "job")
    seen = {came(job).sha256}
    (job / CLIENT).write_text((job / CLIENT).read_text() + " ")
    seen.add(came(job).sha256)
    (job / CLIENT).rename(job / "app/config/other.json")
    seen.add(came(job).sha256)
    (job / "app/config/other.json").unlink()
    seen.add(came(job).sha256)
    assert len(seen) == 4


@pytest.mark.parametrize("path", ["custom/a.py", "custom/a.json", "config/a.py", "config/deep/a.json"])
def test_what_is_no_settings_file_is_code(tmp_path: Path, path: str) -> None:
    assert came(blob_job(tmp_path / "job")).code == ()
    assert came(blob_job(tmp_path / "code", {path: "{}"})).code == (path,)


def test_a_program_to_start_the_job_with_is_code(tmp_path: Path) -> None:
    spec = {"hospital-a": {"docker": {"image": "somebodys"}}}
    assert came(blob_job(tmp_path / "job"), launcher_spec=spec).code == (META,)


def test_the_cohorts_are_those_that_the_settings_name(tmp_path: Path) -> None:
    job = blob_job(tmp_path / "job")
    assert came(job).cohorts == {"blobs"}
    (job / CLIENT).write_text("{")
    with pytest.raises(JobError, match="no JSON"):
        _ = came(job).cohorts


def test_more_than_anybody_could_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = blob_job(tmp_path / "job")
    monkeypatch.setattr(submission, "LARGEST_BYTES", 100)
    with pytest.raises(JobError, match="nobody could read it"):
        came(job)


def test_links_are_refused(tmp_path: Path) -> None:
    job = blob_job(tmp_path / "job")
    (job / "app" / "config" / "link.json").symlink_to(job / META)
    with pytest.raises(JobError, match="links"):
        came(job)


def test_a_folder_that_sends_nothing_to_the_site_is_refused(tmp_path: Path) -> None:
    job = blob_job(tmp_path / "job")
    meta = json.loads((job / META).read_text()) | {"deploy_map": {"app": ["server", "hospital-b"]}}
    (job / META).write_text(json.dumps(meta))
    assert submission_of_folder(job, "hospital-b").name == "blobs"
    with pytest.raises(ConfigError, match="deploys 0 apps to hospital-a"):
        submission_of_folder(job, "hospital-a")


def test_a_kept_job_is_read_as_it_was(tmp_path: Path) -> None:
    kept = came(blob_job(tmp_path / "job", {"custom/a.bin": "\x00\x01"}))
    assert submission_from_json(json.loads(json.dumps(kept.as_json()))) == kept
    for wrong in (None, {}, {"meta": {}, "files": {"a": "???"}}, {"meta": 1, "files": {}}):
        with pytest.raises(ConfigError, match="not as it was written"):
            submission_from_json(wrong)
