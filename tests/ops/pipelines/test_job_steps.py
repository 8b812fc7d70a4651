"""What the steps make of a server's answers, with a fake that knows submissions by their tokens, as FLARE does."""

import errno
import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError, FedVoxelError, JobError, NoAnswerError, StepError
from fedvoxel.export.releases import INDEX
from fedvoxel.flare.job_run import SubmittedJob
from fedvoxel.ops.pipelines import command, job_steps, model_steps, record
from fedvoxel.ops.pipelines.record import PipelineRecord
from fedvoxel.ops.pipelines.steps import do_step, open_run
from fedvoxel.ops.snapshot import Snapshot
from tests.blob_job import controller_of, job_documents, write_job
from tests.export.exported_job import description_file
from tests.finished_job import blob_task, finished_job
from tests.ops.pipelines.settings_sample import write_settings


class FakeServer:
    """Keeps jobs by token; each ends as it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: dict[str, str] = {}
        self.outcome: dict[str, Any] = {}
        self.loses_the_answer = self.is_gone = False
        self.leaves_no_outcome = self.leaves_no_model = False

    def submit(self, session: Any, job: Path, wait: bool, into: Any, say: Any, token: str) -> SubmittedJob:
        job_id = self.jobs.setdefault(token, f"job-{len(self.jobs)}")
        if self.loses_the_answer:
            raise JobError("the job could not be submitted: the line was cut")
        return SubmittedJob(job_id)

    def looks(self, kit: Path, user: Any, job_id: str, pause_s: float) -> Iterator[Snapshot]:
        if self.is_gone:
            raise NoAnswerError("the server does not answer")
        yield Snapshot(job_id, "blobs", "FINISHED:COMPLETED")

    def download(self, session: Any, job_id: str, into: Path) -> Path:
        said = {"run_key": "blobs", "job_id": job_id} | self.outcome
        shutil.move(finished_job(self.folder / "made", blob_task(), **said), into / job_id)
        if self.leaves_no_outcome:
            (into / job_id / "workspace" / "outcome.json").unlink()
        if self.leaves_no_model:
            for path in (into / job_id / "workspace").glob("*.npz"):
                path.unlink()
        return into / job_id


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    made = FakeServer(tmp_path / "server")

    @contextmanager
    def session(kit: Path) -> Iterator[None]:
        yield None

    def check(*words: object, holding: int) -> str:
        assert words[:2] == ("job", "check")
        return '{"sites_asked": [{"site": "hospital-b", "accepted": true}, {"site": "hospital-a", "accepted": true}]}'

    monkeypatch.setattr(job_steps, "flare_session", session)
    monkeypatch.setattr(job_steps, "submit_job", made.submit)
    monkeypatch.setattr(job_steps, "looks", made.looks)
    monkeypatch.setattr(job_steps, "download", made.download)
    monkeypatch.setattr(job_steps, "run_command", check)
    return made


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    description_file(tmp_path)
    return write_settings(tmp_path)


def until_wait(settings: Path) -> Any:
    for name in ("check", "submit"):
        do_step(name, settings, settings.parent / "run")  # type: ignore[arg-type]
    return do_step("wait", settings, settings.parent / "run")[0]


def test_a_submission_whose_answer_was_lost_is_the_same_job(server: FakeServer, settings: Path) -> None:
    server.loses_the_answer = True
    with pytest.raises(JobError):
        until_wait(settings)
    server.loses_the_answer = False
    (settings.parent / "model.json").unlink()
    assert until_wait(settings)["job_id"] == "job-0" and list(server.jobs.values()) == ["job-0"]


def test_a_server_that_is_gone_leaves_the_job_as_it_is(server: FakeServer, settings: Path) -> None:
    server.is_gone = True
    with pytest.raises(NoAnswerError):
        until_wait(settings)
    server.is_gone = False
    assert until_wait(settings)["job_id"] == "job-0" and len(server.jobs) == 1


@pytest.mark.parametrize("how", ["failed", "aborted", "without an outcome"])
def test_a_job_that_ended_badly_is_submitted_anew(server: FakeServer, settings: Path, how: str) -> None:
    server.leaves_no_outcome = how == "without an outcome"
    server.outcome = {} if server.leaves_no_outcome else {"status": how, "reason": "too few sites"}
    with pytest.raises(JobError) as failed:
        until_wait(settings)
    assert f"job-0 {'ended as FINISHED:COMPLETED ' if server.leaves_no_outcome else ''}{how}" in str(failed.value)
    assert "run this again to submit it anew" in str(failed.value)
    server.leaves_no_outcome, server.outcome = False, {}
    assert until_wait(settings)["job_id"] == "job-1" and len(server.jobs) == 2


def test_a_result_of_another_run_is_not_taken(server: FakeServer, settings: Path) -> None:
    server.outcome = {"run_key": "another"}
    with pytest.raises(JobError, match="of the run another, expected blobs"):
        until_wait(settings)


def test_a_changed_job_is_another_submission_and_a_changed_threshold_is_none(
    server: FakeServer, settings: Path
) -> None:
    until_wait(settings)
    write_settings(settings.parent, gate={"minimum_dice": {"blob": 0.9}})
    until_wait(settings)
    assert len(server.jobs) == 1
    write_job(settings.parent / "job", job_documents(seed=9))
    until_wait(settings)
    assert len(server.jobs) == 2


def test_a_result_that_somebody_has_changed_is_downloaded_again(server: FakeServer, settings: Path) -> None:
    found = until_wait(settings)
    outcome = settings.parent / "run" / "result" / "job-0" / "workspace" / "outcome.json"
    outcome.write_text(outcome.read_text().replace("blob_job", "other"))
    assert open_run(settings, settings.parent / "run").found("wait") is None
    assert until_wait(settings) == found and "other" not in outcome.read_text() and len(server.jobs) == 1


@pytest.mark.parametrize("spoil", [lambda model: model.write_bytes(b"PK"), lambda model: model.unlink()])
def test_a_model_that_is_gone_or_was_changed_is_downloaded_again(
    server: FakeServer, settings: Path, spoil: Callable[[Path], Any]
) -> None:
    found = until_wait(settings)
    workspace = settings.parent / "run" / "result" / "job-0" / "workspace"
    model = workspace / str(json.loads((workspace / "outcome.json").read_text())["model"]["file"])
    whole = model.read_bytes()
    spoil(model)
    assert open_run(settings, settings.parent / "run").found("wait") is None
    assert until_wait(settings) == found and model.read_bytes() == whole and len(server.jobs) == 1


def test_a_result_that_came_without_its_model_is_not_taken(server: FakeServer, settings: Path) -> None:
    server.leaves_no_model = True
    with pytest.raises(JobError, match="is not in the downloaded job"):
        until_wait(settings)
    server.leaves_no_model = False
    assert until_wait(settings)["job_id"] == "job-0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"describe": "none.json"}, "the model's description is missing"),
        ({"gate": {"minimum_dice": {"blub": 0.5}}}, "a minimum for each of the job's classes blob, got blub"),
        (
            {"gate": {"minimum_dice": {"blob": 0.5}, "minimum_dice_of_each_hospital": {"blub": 0.5}}},
            "minimum_dice_of_each_hospital: the job has no class blub",
        ),
    ],
)
def test_what_would_end_it_after_the_training_ends_it_before(
    server: FakeServer, settings: Path, changes: dict[str, Any], message: str
) -> None:
    write_settings(settings.parent, **changes)
    with pytest.raises(ConfigError, match=message):
        until_wait(settings)
    assert not server.jobs
    failure = PipelineRecord(settings.parent / "run").failure()
    assert failure is not None and (failure.step, failure.exit_code) == ("check", 3) and message in failure.message


@pytest.mark.parametrize(
    ("training", "rounds", "message"),
    [
        ({"site_local": ["*.adn.N.*"]}, {}, "leaves some layers to each hospital"),
        ({}, {"evaluate": False}, "no score leaves the hospitals in this job"),
    ],
)
def test_a_job_whose_model_no_gate_lets_pass_is_refused_before_it_trains(
    server: FakeServer, settings: Path, training: dict[str, Any], rounds: dict[str, Any], message: str
) -> None:
    documents = job_documents(**training)
    controller_of(documents)["args"]["rounds"] |= rounds
    write_job(settings.parent / "job", documents)
    with pytest.raises(ConfigError, match=message):
        until_wait(settings)
    assert not server.jobs


def test_a_description_that_was_spoilt_after_the_check_ends_it_before_the_training(
    server: FakeServer, settings: Path
) -> None:
    do_step("check", settings, settings.parent / "run")
    (settings.parent / "model.json").write_text("{}")
    with pytest.raises(ConfigError, match="the model's description"):
        do_step("submit", settings, settings.parent / "run")
    assert not server.jobs


@pytest.mark.parametrize(("state", "whole"), [("candidate", True), ("released", False), ("withdrawn", False)])
def test_what_the_index_says_by_now_is_looked_at_again(
    settings: Path, monkeypatch: pytest.MonkeyPatch, state: str, whole: bool
) -> None:
    run = open_run(settings, settings.parent / "run")
    monkeypatch.setattr(run, "needed", lambda name: {"identity": "0" * 64})
    kept = {"name": "blobs", "version": "1.0.0", "state": "candidate", "mlflow": None}
    assert not model_steps.REGISTER.is_whole(run, kept), "there is no index any more"
    (settings.parent / "releases").mkdir()
    (settings.parent / "releases" / INDEX).write_text("")
    told = json.dumps([{"sha256": "0" * 64, "state": state}])
    monkeypatch.setattr(model_steps, "run_command", lambda *words, holding: told)
    assert model_steps.REGISTER.is_whole(run, kept) is whole


def test_a_job_that_trains_nothing_is_refused(server: FakeServer, settings: Path) -> None:
    jobs = Path(__file__).resolve().parents[3] / "jobs"
    write_settings(settings.parent, job=str(jobs / "cohort_statistics"))
    with pytest.raises(ConfigError, match="trains nothing"):
        until_wait(settings)


def test_the_gate_stops_a_run_without_scores_and_the_export_obeys(server: FakeServer, settings: Path) -> None:
    until_wait(settings)
    folder = settings.parent / "run"
    do_step("evaluate", settings, folder)
    verdict = do_step("gate", settings, folder)[0]
    assert verdict["verdict"] == "stop" and "blob: no unseen case has a score" in verdict["objections"]
    with pytest.raises(FedVoxelError, match="the gate lets the model go no further") as stopped:
        do_step("export", settings, folder)
    assert stopped.value.exit_code == 29 and not (folder / "package").exists()


def test_a_folder_without_room_is_one_line(server: FakeServer, settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    do_step("check", settings, settings.parent / "run")
    monkeypatch.setattr(record, "write_json", full)
    with pytest.raises(ConfigError, match=r"the step submit: .* cannot be read or written \(No space left"):
        do_step("submit", settings, settings.parent / "run")
    assert not server.jobs, "nothing is submitted that could not be noted first"


def test_a_command_that_outlives_its_step_holds_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed step frees its lock only when the command that it had begun has ended too."""
    begun: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def run(words: list[str], pass_fds: tuple[int, ...], **more: Any) -> Any:
        begun.append(start([sys.executable, "-c", "import time; time.sleep(60)"], pass_fds=pass_fds))
        return subprocess.CompletedProcess(words, 0, "", "")

    monkeypatch.setattr(command.subprocess, "run", run)
    at_work = PipelineRecord(tmp_path)
    with at_work.at_work():
        command.run_command("export", holding=at_work.lock)
    with PipelineRecord(tmp_path)._locked("step.lock") as handle:
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        begun[0].kill()
        begun[0].wait()
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_command_that_fails_hands_on_its_words_and_its_code(tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"fedvoxel results: .* is not a folder") as failed:
        model_steps.run_command("results", tmp_path / "none", "--json")
    assert failed.value.exit_code == 10
