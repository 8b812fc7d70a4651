"""What the server does about jobs that died: FLARE's own job store, and journals as a controller leaves them."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nvflare.apis.client import Client
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.job_def_manager import SimpleJobDefManager
from nvflare.apis.job_def import RunStatus
from nvflare.apis.server_engine_spec import ServerEngineSpec
from nvflare.apis.storage import StorageException
from nvflare.apis.workspace import Workspace
from nvflare.app_common.storages.filesystem_storage import FilesystemStorage
from nvflare.private.fed.server.job_runner import JobRunner

from fedvoxel.errors import ConfigError, JobError
from fedvoxel.federation.attempts import MOST_WITHOUT_PROGRESS, Attempt
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome, write_outcome
from fedvoxel.federation.snapshot import Snapshot
from fedvoxel.flare import interrupted_runs, next_attempt, resumption
from fedvoxel.flare.interrupted_runs import fail_damaged, give_up, is_training_job
from fedvoxel.flare.resumption import RESUMED_AS, Resumption
from fedvoxel.flare.round_journal import JournalEntry, RoundJournal
from fedvoxel.governance.backup import create_backup, restore_backup
from fedvoxel.governance.restored_runs import RESTORED_MARK
from fedvoxel.records import chain
from fedvoxel.records.atomic import write_json
from fedvoxel.records.chain import Chain

SITES = ("hospital-a", "hospital-b")
TRAINING = "fedvoxel.flare.controller.FedAvgController"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Server(ServerEngineSpec):
    """Is as much of FLARE's server as the component meets: its own job manager and store, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sites = folder, list(SITES)
        for name in ("startup", "local", "state/jobs"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.jobs = SimpleJobDefManager("jobs")
        self.store = FilesystemStorage(str(folder / "state"))
        self.context = FLContext()
        self.context.set_prop(ReservedKey.ENGINE, self, private=True, sticky=False)
        workspace = Workspace(str(folder), "server")
        self.context.set_prop(FLContextKey.WORKSPACE_OBJECT, workspace, private=True, sticky=False)

    def get_component(self, name: str) -> Any:
        return {"job_manager": self.jobs, "job_store": self.store}[name]

    @property
    def job_runner(self) -> JobRunner:
        return JobRunner(str(self.folder))

    @contextmanager
    def new_context(self) -> Iterator[FLContext]:  # type: ignore[override]
        yield self.context

    def get_clients(self) -> list[Client]:
        return [Client(site, "") for site in self.sites]

    def notify_dead_job(self, job_id: str, client_name: str, reason: str) -> None:
        """Is FLARE's word to a job's process that it holds a site for dead."""

    def submit(self, status: RunStatus, controller: str = TRAINING, **meta: Any) -> str:
        """Stores a job that somebody has signed, as it stands; returns its id."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as made:
            made.writestr("a_job/app/config/config_fed_server.json", json.dumps({"workflows": [{"path": controller}]}))
            made.writestr("a_job/app/.__nvfl_sig.json", "signed by the scientist")
        said = {"name": "a_job", "submitter_name": "scientist", "scope": "fedvoxel", "custom_props": {"promise": 1}}
        job_id = str(self.jobs.create(said | meta, content.getvalue(), self.context)["job_id"])
        self.jobs.set_status(job_id, status, self.context)
        return job_id

    def meta(self, job_id: str) -> dict[str, Any]:
        return dict(self.jobs.get_job(job_id, self.context).meta)

    def others(self, *known: str) -> list[str]:
        return [job.job_id for job in self.jobs.get_all_jobs(self.context) if job.job_id not in known]

    def restart(self) -> None:
        """Has the component do all that it does when the server starts."""
        self.begun()._turn([])

    def restart_and_wait(self, until: Callable[[], bool]) -> None:
        """Has the component do all that it does when the server starts, and go on until something is so."""
        component = self.begun()
        component.handle_event(EventType.SYSTEM_START, self.context)
        deadline = time.monotonic() + 20
        while not until() and time.monotonic() < deadline:
            time.sleep(0.01)
        component.handle_event(EventType.SYSTEM_END, self.context)

    def begun(self) -> Resumption:
        """Returns the component of a server that has begun and has not looked yet."""
        component = Resumption()
        component.handle_event(EventType.SYSTEM_BOOTSTRAP, self.context)
        return component

    def ended(self, job_id: str) -> None:
        """Has the component do what it does when FLARE has ended a job."""
        self.begun()._look(self.context, [job_id])

    def attempt(
        self, job_id: str, committed: int = 2, ended: Any = "unfinished", first: tuple[int, ...] = (0,),
        run_key: str = "a_run", sites: tuple[str, ...] = SITES, min_sites: int = 1,
    ) -> Path:  # fmt: skip
        """Writes the journal and the outcome of a run whose last attempt is this job; returns the run's folder."""
        folder = self.folder / "state" / "runs" / run_key
        ids = [f"job-{number}" for number in range(len(first) - 1)] + [job_id]
        attempts = [
            Attempt(job_id=name, started=BEGAN, first_round=each) for name, each in zip(ids, first, strict=True)
        ]
        entry = JournalEntry(run_key=run_key, run_id="0" * 32, job="0" * 64, sites=sites, committed=committed,
                             min_sites=min_sites, ended=ended, attempts=tuple(attempts))  # fmt: skip
        journal = RoundJournal(folder / "journal")
        with journal.writing():
            journal.write(entry)
        said = {"run_key": run_key, "job_id": job_id, "job_name": "a_job", "status": ended, "rounds_planned": 9}
        outcome = RunOutcome(**said, rounds_committed=0, sites=sites, started=BEGAN, finished=BEGAN)
        write_outcome(outcome, folder / OUTCOME_FILE)
        return folder


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(resumption, "_LOOK_S", 0.01)
    monkeypatch.setattr(next_attempt, "_SITES_WAIT_S", 0.3)
    return Server(tmp_path)


Server.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.DISPATCHED])
@pytest.mark.parametrize("ended", ["unfinished", "aborted"])
def test_an_orphan_gets_a_true_status_and_its_run_goes_on(status: RunStatus, ended: str, server: Server) -> None:
    job_id = server.submit(status)
    server.attempt(job_id, ended=ended)
    left = server.folder / job_id
    left.mkdir()
    (left / "log.txt").write_text("what it left")
    server.restart()
    (again,) = server.others(job_id)
    old, new = server.meta(job_id), server.meta(again)
    assert old["status"] == "FINISHED:ABNORMAL" and old[RESUMED_AS] == again and not left.exists()
    assert new["status"] == "SUBMITTED" and new["cloned_from"] == job_id
    assert [new[key] for key in ("submitter_name", "scope", "custom_props")] == [
        "scientist",
        "fedvoxel",
        {"promise": 1},
    ]
    content = zipfile.ZipFile(io.BytesIO(server.jobs.get_content(new, server.context)))
    assert content.read("a_job/app/.__nvfl_sig.json") == b"signed by the scientist"
    assert server.jobs.get_storage_component(job_id, "workspace", server.context)
    server.restart()
    assert server.others(job_id, again) == [], "an attempt that waits is not submitted twice"


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (RunStatus.FINISHED_ABNORMAL, "unfinished"),
        (RunStatus.FINISHED_EXECUTION_EXCEPTION, "unfinished"),
        # One of its sites was away for a moment while FLARE started the job, and FLARE stopped it everywhere.
        (RunStatus.FAILED_TO_RUN, "unfinished"),
        (RunStatus.FAILED_TO_RUN, "aborted"),
    ],
)
def test_a_run_whose_job_process_died_goes_on(status: RunStatus, ended: str, server: Server) -> None:
    job_id = server.submit(status)
    server.attempt(job_id, ended=ended)
    server.ended(job_id)
    assert len(server.others(job_id)) == 1


@pytest.mark.parametrize(
    ("reason", "status", "goes_on"),
    [
        ("client dead", RunStatus.FINISHED_ABNORMAL, True),
        ("client dead", RunStatus.FINISHED_EXECUTION_EXCEPTION, True),
        ("client dead", RunStatus.FINISHED_ABORTED, False),
        ("missing job on client", RunStatus.FINISHED_ABNORMAL, False),
    ],
)
def test_a_run_that_flare_aborted_since_its_sites_could_not_be_reached_goes_on(
    reason: str, status: RunStatus, goes_on: bool, server: Server
) -> None:
    component, job_id = server.begun(), server.submit(status)
    server.notify_dead_job(job_id, SITES[0], reason)
    server.attempt(job_id, ended="aborted")
    component._look(server.context, [job_id])
    following = server.others(job_id)
    assert len(following) == goes_on
    outcome = load_outcome(server.folder / "state/runs/a_run" / OUTCOME_FILE)
    assert outcome.status == ("unfinished" if goes_on else "aborted"), "it says what becomes of the run"
    if goes_on:
        assert "could not be reached" in str(outcome.reason)
        assert "lost_sites" in server.meta(job_id) and "lost_sites" not in server.meta(following[0])
        server.restart()
        assert server.others(job_id, *following) == []


def test_nothing_is_begun_as_long_as_no_site_is_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = server.submit(RunStatus.FINISHED_ABNORMAL)
    server.attempt(job_id)
    looks: list[float] = []

    def nobody_for_long() -> list[Client]:
        looks.append(time.monotonic())
        return [Client(SITES[0], "")] if looks[-1] - looks[0] > 3 * next_attempt._SITES_WAIT_S else []

    monkeypatch.setattr(server, "get_clients", nobody_for_long)
    server.ended(job_id)
    assert len(server.others(job_id)) == 1 and looks[-1] - looks[0] > 3 * next_attempt._SITES_WAIT_S


@pytest.mark.parametrize("shut_out", [False, True])
def test_nothing_is_begun_with_fewer_sites_than_a_round_needs_unless_more_cannot_come(
    shut_out: bool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = server.submit(RunStatus.FINISHED_ABNORMAL)
    server.attempt(job_id, min_sites=2)
    write_json(server.folder / "state/certificates/shut_out.json", SITES[1:] if shut_out else [])
    looks: list[float] = []

    def one_for_long() -> list[Client]:
        looks.append(time.monotonic())
        return [Client(site, "") for site in SITES[: 1 + (looks[-1] - looks[0] > 3 * next_attempt._SITES_WAIT_S)]]

    monkeypatch.setattr(server, "get_clients", one_for_long)
    server.ended(job_id)
    assert len(server.others(job_id)) == 1
    assert (looks[-1] - looks[0] > 3 * next_attempt._SITES_WAIT_S) != shut_out


def test_the_server_looks_when_flare_could_not_start_a_job(server: Server) -> None:
    component = server.begun()
    server.context.set_prop(FLContextKey.EVENT_DATA, {"job_id": "a job"}, private=True, sticky=False)
    component.handle_event(EventType.JOB_ABORTED, server.context)
    assert component._ended.get_nowait() == "a job"


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        (RunStatus.FINISHED_ABORTED, "aborted"),
        (RunStatus.FINISHED_ABORTED, "unfinished"),
        (RunStatus.FINISHED_EXECUTION_EXCEPTION, "aborted"),
        (RunStatus.FINISHED_EXECUTION_EXCEPTION, "failed"),
        (RunStatus.FINISHED_COMPLETED, "finished"),
        (RunStatus.FINISHED_ABNORMAL, "finished"),
        (RunStatus.FINISHED_ABNORMAL, "stopped_early"),
        (RunStatus.SUBMITTED, "unfinished"),
    ],
)
def test_a_run_that_has_ended_is_left_alone(status: RunStatus, ended: str, server: Server) -> None:
    job_id = server.submit(status)
    server.attempt(job_id, ended=ended)
    server.ended(job_id)
    server.restart()
    assert server.others(job_id) == []


@pytest.fixture
def restored(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Server]:
    """Returns what puts the server back from a backup of this moment."""

    def restored() -> Server:
        (server.folder / "startup/fed_server.json").write_text("{}")
        elsewhere = tmp_path_factory.mktemp("elsewhere")
        create_backup(server.folder, elsewhere / "b.fvbackup", None)
        restore_backup(elsewhere / "b.fvbackup", elsewhere / "back", None)
        return Server(elsewhere / "back")

    return restored


@pytest.mark.parametrize("ended", ["unfinished", "aborted", "failed"])
def test_a_restored_server_goes_on_with_nothing_of_its_backup(
    ended: str, server: Server, restored: Callable[[], Server]
) -> None:
    """A run that went on after the backup has drawn noise that the server does not know of."""
    known = job_id, *_, promised = [
        server.submit(status)
        for status in (RunStatus.RUNNING, RunStatus.SUBMITTED, RunStatus.DISPATCHED, RunStatus.FINISHED_ABNORMAL)
    ]
    server.jobs.update_meta(promised, {RESUMED_AS: ""}, server.context)
    server.attempt(job_id, ended=ended)
    back = restored()
    for _ in range(2):
        back.restart()
        assert {back.meta(job)["status"] for job in known} == {"FINISHED:ABNORMAL"}
        assert back.others(*known) == [] and {back.meta(job)[RESUMED_AS] for job in known} == {None}
    folder = back.folder / "state/runs/a_run"
    outcome, journal = load_outcome(folder / OUTCOME_FILE), RoundJournal(folder / "journal")
    assert outcome.status == "failed"
    assert ended == "failed" or "another run_key" in str(outcome.reason)
    with pytest.raises(ConfigError, match=r"put back from a backup .* another run_key"):
        journal.read()  # so that nobody who submits the same job goes on with it either
    anew = back.submit(RunStatus.SUBMITTED)
    back.restart()
    assert back.meta(anew)["status"] == "SUBMITTED", "what came after the restore is not of the backup"


def test_the_operator_can_say_that_nothing_happened_after_the_backup(
    server: Server, restored: Callable[[], Server]
) -> None:
    job_id = server.submit(RunStatus.RUNNING)
    server.attempt(job_id)
    back = restored()
    (back.folder / "state/runs/a_run/journal" / RESTORED_MARK).unlink()
    back.restart()
    assert len(back.others(job_id)) == 1 and not (back.folder / "state" / RESTORED_MARK).exists()


def test_a_run_that_had_ended_in_the_backup_is_as_it_was(server: Server, restored: Callable[[], Server]) -> None:
    job_id = server.submit(RunStatus.FINISHED_COMPLETED)
    server.attempt(job_id, ended="finished")
    journal = RoundJournal(restored().folder / "state/runs/a_run/journal")
    entry = journal.read()
    assert entry and entry.ended == "finished"
    with journal.writing():
        journal.write(entry.changed(ended="unfinished"))
    assert (again := journal.read()) and again.ended == "unfinished", "another run of this key goes on as any"


def test_an_orphan_of_a_run_that_had_ended_is_ended_and_no_more(server: Server) -> None:
    job_id = server.submit(RunStatus.RUNNING)
    server.attempt(job_id, ended="finished")
    server.restart()
    assert server.meta(job_id)["status"] == "FINISHED:ABNORMAL" and server.others(job_id) == []


@pytest.mark.parametrize("fails", ["clone", "set_status", "update_meta"])
def test_what_a_full_disk_prevents_is_done_when_there_is_room(
    fails: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumption, "_FIRST_PAUSE_S", 0.01)
    job_id = server.submit(RunStatus.RUNNING)
    server.attempt(job_id)
    works, tried = getattr(server.jobs, fails), []

    def full_twice(*arguments: Any) -> Any:
        tried.append(fails)
        if len(tried) <= 2:
            raise StorageException("failed to write content: No space left on device")
        return works(*arguments)

    monkeypatch.setattr(server.jobs, fails, full_twice)
    server.restart_and_wait(lambda: bool(server.others(job_id) and server.meta(job_id).get(RESUMED_AS)))
    (again,) = server.others(job_id)
    old = server.meta(job_id)
    assert len(tried) > 2 and old["status"] == "FINISHED:ABNORMAL" and old[RESUMED_AS] == again


def test_a_run_goes_on_when_the_disk_has_room_again(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumption, "_FIRST_PAUSE_S", 0.01)
    job_id = server.submit(RunStatus.FINISHED_EXECUTION_EXCEPTION)
    folder = server.attempt(job_id)
    (folder / "global_model.npz").write_bytes(bytes(2**20))
    looked: list[int] = []

    def filled_twice(path: Path) -> Any:
        looked.append(len(server.others(job_id)))
        return SimpleNamespace(free=(67 if len(looked) > 2 else 66) * 2**20)

    monkeypatch.setattr(interrupted_runs.shutil, "disk_usage", filled_twice)
    server.restart_and_wait(lambda: bool(server.others(job_id)))
    assert looked == [0, 0, 0] and len(server.others(job_id)) == 1


def test_a_run_goes_on_when_a_backup_has_let_go_of_its_journal(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumption, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(chain, "LOCK_TIMEOUT_S", 0.05)
    job_id = server.submit(RunStatus.FINISHED_EXECUTION_EXCEPTION)
    folder = server.attempt(job_id)
    with Chain(folder / "journal" / "journal.json").held():
        server.ended(job_id)
        assert server.others(job_id) == [] and server.meta(job_id)[RESUMED_AS] == "", "whoever watches it is told"
    server.restart_and_wait(lambda: bool(server.others(job_id)))
    assert len(server.others(job_id)) == 1


def test_who_watches_is_told_what_the_next_job_waits_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = server.submit(RunStatus.FINISHED_EXECUTION_EXCEPTION)
    server.attempt(job_id)
    said: list[str] = []

    def full(*arguments: Any) -> Any:
        raise StorageException("failed to write content: No space left on device")

    def asked() -> list[Client]:
        said.append(server.meta(job_id)["resume_waits"])
        return [Client(site, "") for site in SITES]

    monkeypatch.setattr(server, "get_clients", asked)
    with monkeypatch.context() as patch:
        patch.setattr(interrupted_runs.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
        server.ended(job_id)
        assert server.meta(job_id)[RESUMED_AS] == "" and "make room" in server.meta(job_id)["resume_waits"]
    with monkeypatch.context() as patch:
        patch.setattr(server.jobs, "clone", full)
        server.ended(job_id)
        assert server.meta(job_id)[RESUMED_AS] == "" and "its log says why" in server.meta(job_id)["resume_waits"]
    server.ended(job_id)
    (again,) = server.others(job_id)
    assert server.meta(job_id)[RESUMED_AS] == again and "resume_waits" not in server.meta(again)
    assert said == ["until its sites are connected again"] * 2


def test_who_watches_is_told_before_anything_takes_its_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever watches a job waits only for seconds for the server's word that its run goes on."""
    first, second, early = (server.submit(RunStatus.RUNNING) for _ in range(3))
    server.attempt(first, run_key="one")
    server.attempt(second, run_key="two")
    ended, looks, told = server.jobs.set_status, resumption.why_not, []

    def ends(job_id: str, *arguments: Any) -> None:
        told.append(server.meta(job_id).get(RESUMED_AS))
        ended(job_id, *arguments)

    def look(*arguments: Any) -> Any:
        told.extend(server.meta(job_id).get(RESUMED_AS) for job_id in (first, second, early))
        return looks(*arguments)

    monkeypatch.setattr(server.jobs, "set_status", ends)
    monkeypatch.setattr(resumption, "why_not", look)
    server.restart()
    assert told == [""] * 12 and len(server.others(first, second, early)) == 3


def test_who_watches_a_job_that_died_alone_is_told_at_once_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, early = (server.submit(RunStatus.FINISHED_ABNORMAL) for _ in range(2))
    server.attempt(job_id)
    told: list[Any] = []
    monkeypatch.setattr(
        resumption, "why_not", lambda *_: told.extend(server.meta(each).get(RESUMED_AS) for each in (job_id, early))
    )
    server.ended(early)
    assert told == [""] * 4


def test_a_job_that_is_refused_is_looked_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id, early = (server.submit(RunStatus.FINISHED_ABNORMAL) for _ in range(2))
    server.attempt(job_id)
    looked: list[str] = []

    def look(jobs: Any, job: Any, fl_ctx: FLContext) -> str | None:
        looked.append(job.job_id)
        return "it is revoked" if job.job_id == early else None

    monkeypatch.setattr(resumption, "why_not", look)
    monkeypatch.setattr(interrupted_runs.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    component, ended = server.begun(), [early]
    assert [component._turn(ended) for _ in range(2)] == [False, False]
    assert looked.count(early) == 1 and looked.count(job_id) == 2 and server.meta(early)[RESUMED_AS] is None


def test_nobody_waits_for_a_run_that_does_not_go_on_after_all(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = server.submit(RunStatus.FINISHED_EXECUTION_EXCEPTION)
    folder = server.attempt(job_id)
    monkeypatch.setattr(interrupted_runs.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    server.ended(job_id)
    assert server.meta(job_id)[RESUMED_AS] == ""
    for path in (folder / "journal").glob("journal*.json"):
        path.write_bytes(b"damaged")
    server.ended(job_id)
    assert server.meta(job_id)[RESUMED_AS] is None and server.others(job_id) == []
    server.jobs.update_meta(job_id, {RESUMED_AS: ""}, server.context)
    again = server.submit(RunStatus.RUNNING, cloned_from=job_id)  # submitted, and then the disk was full
    server.ended(job_id)
    assert server.meta(job_id)[RESUMED_AS] == again


def test_a_run_that_makes_no_progress_is_given_up_and_says_so(server: Server) -> None:
    job_id = server.submit(RunStatus.FINISHED_ABNORMAL)
    folder = server.attempt(job_id, committed=2, first=(0,) + (2,) * MOST_WITHOUT_PROGRESS)
    server.ended(job_id)
    outcome, entry = load_outcome(folder / OUTCOME_FILE), RoundJournal(folder / "journal").read()
    assert server.others(job_id) == [] and entry and entry.ended == "failed"
    assert (
        outcome.status == "failed"
        and "3 attempts in a row" in str(outcome.reason)
        and "2 rounds" in str(outcome.reason)
    )
    server.restart()
    assert server.others(job_id) == []


def test_a_run_that_a_person_has_gone_on_with_meanwhile_is_not_given_up(server: Server) -> None:
    folder = server.attempt(server.submit(RunStatus.FINISHED_ABNORMAL))
    metas = {job.job_id: job.meta for job in server.jobs.get_all_jobs(server.context)}
    (run,) = interrupted_runs.interrupted_runs(folder.parent, metas)
    after = RoundJournal(folder / "journal").write(run.entry.changed(committed=5))
    with pytest.raises(JobError, match="meanwhile"):
        give_up(run, "its certificate has ended")
    assert RoundJournal(folder / "journal").read() == after and load_outcome(folder / OUTCOME_FILE).reason is None


def test_a_run_that_makes_progress_is_never_given_up(server: Server) -> None:
    job_id = server.submit(RunStatus.FINISHED_ABNORMAL)
    server.attempt(job_id, committed=3, first=(0, 2, 2, 2))
    server.ended(job_id)
    assert len(server.others(job_id)) == 1


def test_attempts_that_cannot_even_begin_are_counted_too(server: Server) -> None:
    job_id = first = server.submit(RunStatus.FINISHED_ABNORMAL)
    folder = server.attempt(first)
    known = [first]
    for _ in range(MOST_WITHOUT_PROGRESS):
        server.ended(job_id)
        (job_id,) = server.others(*known)
        known.append(job_id)
        server.jobs.set_status(job_id, RunStatus.FAILED_TO_RUN, server.context)
    server.ended(job_id)
    assert server.others(*known) == [] and load_outcome(folder / OUTCOME_FILE).status == "failed"


def test_a_training_job_that_died_before_it_had_a_journal_is_begun_again_once(server: Server) -> None:
    job_id, other = server.submit(RunStatus.DISPATCHED), server.submit(RunStatus.RUNNING, "fedvoxel.flare.statistics.X")
    server.restart()
    (again,) = server.others(job_id, other)
    assert server.meta(again)["cloned_from"] == job_id and server.meta(other)["status"] == "FINISHED:ABNORMAL"
    server.jobs.set_status(again, RunStatus.RUNNING, server.context)
    server.restart()
    assert server.others(job_id, other, again) == []


def test_a_job_that_is_deleted_while_its_run_waits_costs_no_other_run(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumption, "_FIRST_PAUSE_S", 0.01)
    gone, job_id = server.submit(RunStatus.RUNNING), server.submit(RunStatus.RUNNING)
    server.attempt(gone).rename(server.folder / "state/runs/a_gone_run")
    server.attempt(job_id)
    connected = server.get_clients

    def deleted_meanwhile() -> list[Client]:
        if server.jobs.get_job(gone, server.context):
            server.jobs.delete(gone, server.context)
        return connected()

    monkeypatch.setattr(server, "get_clients", deleted_meanwhile)
    server.restart_and_wait(lambda: bool(server.others(gone, job_id)))
    assert len(server.others(gone, job_id)) == 1


def test_nothing_unexpected_ends_the_resumption(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumption, "_FIRST_PAUSE_S", 0.01)
    job_id = server.submit(RunStatus.RUNNING)
    server.attempt(job_id)
    listed, asked = server.jobs.get_all_jobs, []

    def deleted_meanwhile(fl_ctx: FLContext) -> Any:
        asked.append(fl_ctx)
        if len(asked) == 2:
            raise KeyError("a job that went while all were listed")
        return listed(fl_ctx)

    monkeypatch.setattr(server.jobs, "get_all_jobs", deleted_meanwhile)
    server.restart_and_wait(lambda: len(asked) > 2 and bool(server.others(job_id)))
    assert len(server.others(job_id)) == 1


def test_a_stored_job_whose_bytes_have_changed_is_no_training_job() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a_job/app/config/config_fed_server.json", json.dumps({"workflows": [{"path": TRAINING}] * 20}))
    whole = content.getvalue()
    assert is_training_job(whole) and not is_training_job(None)
    said = {is_training_job(whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :]) for at in range(len(whole))}
    assert False in said, "nothing is raised, whatever byte it is"


def test_jobs_that_died_long_ago_are_left_alone(server: Server) -> None:
    job_id = server.submit(RunStatus.FINISHED_ABNORMAL)
    server.restart()
    assert server.others(job_id) == []


def test_the_next_attempt_waits_until_the_runs_sites_are_back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_attempt, "_SITES_WAIT_S", 60.0)
    looks = []

    def back_at_the_third_look() -> list[Client]:
        looks.append(len(server.others(job_id)))
        return [Client(site, "") for site in SITES[: len(looks) // 2]]

    job_id = server.submit(RunStatus.FINISHED_ABNORMAL)
    server.attempt(job_id)
    monkeypatch.setattr(server, "get_clients", back_at_the_third_look)
    server.ended(job_id)
    assert looks == [0, 0, 0, 0] and len(server.others(job_id)) == 1


def test_runs_wait_for_their_sites_at_the_same_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_attempt, "_SITES_WAIT_S", 60.0)
    looks: list[int] = []
    monkeypatch.setattr(next_attempt, "time", SimpleNamespace(monotonic=lambda: 10.0 * len(looks)))

    def one_is_there() -> list[Client]:
        looks.append(len(server.others(lacks, waits, whole)))
        return [Client(SITES[0], "")]

    monkeypatch.setattr(server, "get_clients", one_is_there)
    lacks, waits, whole = (server.submit(RunStatus.FINISHED_ABNORMAL) for _ in range(3))
    server.attempt(lacks, run_key="one")
    server.attempt(waits, run_key="two")
    server.attempt(whole, run_key="whole", sites=SITES[:1])
    server.ended(whole)
    assert looks == [0, 1, 1, 1, 1, 1] and len(server.others(lacks, waits, whole)) == 3


def test_a_server_that_is_stopped_submits_nothing_and_goes_on_when_it_starts(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_attempt, "_SITES_WAIT_S", 60.0)
    job_id, early = (server.submit(RunStatus.RUNNING) for _ in range(2))
    server.attempt(job_id)
    server.sites = [SITES[0]]
    component = server.begun()
    connected = server.get_clients

    def stopped() -> list[Client]:
        component.handle_event(EventType.SYSTEM_END, server.context)
        return connected()

    monkeypatch.setattr(server, "get_clients", stopped)
    component._work()
    assert server.others(job_id, early) == []
    monkeypatch.setattr(server, "get_clients", connected)
    monkeypatch.setattr(next_attempt, "_SITES_WAIT_S", 0.3)
    server.restart()
    assert {server.meta(again)["cloned_from"] for again in server.others(job_id, early)} == {job_id, early}


def test_a_job_that_ends_while_others_wait_is_looked_at_and_no_wait_begins_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_attempt, "_SITES_WAIT_S", 60.0)
    job_id = server.submit(RunStatus.FINISHED_ABNORMAL)
    server.attempt(job_id, run_key="one")
    server.sites = [SITES[0]]
    component = server.begun()
    component._ended.put("of another run")
    assert not component._look(server.context, [])
    component._ended.get()
    meanwhile = server.submit(RunStatus.FINISHED_ABNORMAL)
    server.attempt(meanwhile, run_key="two")
    monkeypatch.setattr(next_attempt, "_SITES_WAIT_S", 1e6)
    moment = time.monotonic() + 61
    monkeypatch.setattr(next_attempt, "time", SimpleNamespace(monotonic=lambda: moment))
    component._ended.put("of another run")
    assert not component._look(server.context, [])
    assert [server.meta(again)["cloned_from"] for again in server.others(job_id, meanwhile)] == [job_id]
    assert server.meta(meanwhile)["resume_waits"] == "until its sites are connected again"


def test_who_is_shut_out_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_attempt, "_SITES_WAIT_S", 60.0)
    job_id = server.submit(RunStatus.FINISHED_ABNORMAL)
    server.attempt(job_id)
    server.sites = [SITES[0]]
    write_json(server.folder / "state/certificates/shut_out.json", [SITES[1]])
    began = time.monotonic()
    server.ended(job_id)
    assert len(server.others(job_id)) == 1 and time.monotonic() - began < 30


def test_a_run_whose_journal_is_damaged_has_failed_and_says_so(server: Server) -> None:
    job_id = server.submit(RunStatus.RUNNING)
    folder = server.attempt(job_id)
    for path in (folder / "journal").glob("*.json"):
        path.write_bytes(path.read_bytes()[:-2])
    server.restart()
    outcome = load_outcome(folder / OUTCOME_FILE)
    assert outcome.status == "failed" and "journal on the server is damaged" in str(outcome.reason)
    assert server.meta(job_id)["status"] == "FINISHED:ABNORMAL"


def test_a_damaged_journal_keeps_no_other_run_from_going_on(server: Server) -> None:
    job_id = server.submit(RunStatus.RUNNING)
    server.attempt(job_id)
    broken = server.folder / "state" / "runs" / "broken" / "journal"
    broken.mkdir(parents=True)
    (broken / "journal.json").write_text("{")
    server.restart()
    assert len(server.others(job_id)) == 1


def test_a_damaged_outcome_keeps_a_run_from_being_tried_for_ever(server: Server) -> None:
    job_id = server.submit(RunStatus.FINISHED_ABNORMAL)
    folder = server.attempt(job_id, first=(0,) + (2,) * MOST_WITHOUT_PROGRESS)
    (folder / OUTCOME_FILE).write_text("{")
    component = Resumption()
    component.handle_event(EventType.SYSTEM_BOOTSTRAP, server.context)
    assert component._look(server.context, [job_id]), "all of it could be done"
    entry = RoundJournal(folder / "journal").read()
    assert entry and entry.ended == "failed"


@pytest.mark.parametrize("trouble", ["damaged", "unwritable"])
def test_what_ails_one_damaged_run_keeps_no_other_from_its_end(
    trouble: str, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.attempt(server.submit(RunStatus.FINISHED_ABNORMAL)).rename(server.folder / "state/runs/a_first_run")
    folders = [server.folder / "state/runs/a_first_run", server.attempt(server.submit(RunStatus.FINISHED_ABNORMAL))]
    for path in folders[0].parent.glob("*/journal/journal*.json"):
        path.write_bytes(b"damaged")

    def unwritable(outcome: RunOutcome, path: Path) -> None:
        if path.parent == folders[0]:
            raise PermissionError(path.name)
        write_outcome(outcome, path)

    if trouble == "damaged":
        (folders[0] / OUTCOME_FILE).write_text("{")
    else:
        monkeypatch.setattr(interrupted_runs, "write_outcome", unwritable)
    with nullcontext() if trouble == "damaged" else pytest.raises(PermissionError):
        fail_damaged(folders[0].parent)
    assert load_outcome(folders[1] / OUTCOME_FILE).status == "failed"


@pytest.mark.parametrize("ended", [False, True])
def test_a_run_that_writes_its_journal_while_it_is_read_has_not_failed(
    ended: bool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader has the entry of the round before, whose arrays are gone when it looks for them."""
    folder = server.attempt(server.submit(RunStatus.RUNNING))
    journal, judged = RoundJournal(folder / "journal"), RoundJournal._is_whole
    with ExitStack() as running:
        running.enter_context(journal.writing())
        begun = journal.read()
        assert begun
        before = journal.write(begun.changed(committed=3), Snapshot({"round": 3}, {"model": {"w": np.zeros(3)}}))

        def commits_meanwhile(self: RoundJournal, entry: JournalEntry) -> bool:
            if entry.number == before.number:
                after = Snapshot({"round": 4}, {"model": {"w": np.ones(3)}})
                journal.write(before.changed(committed=4), after)
                if ended:
                    running.close()
            return judged(self, entry)

        monkeypatch.setattr(RoundJournal, "_is_whole", commits_meanwhile)
        fail_damaged(folder.parent)
    assert load_outcome(folder / OUTCOME_FILE).status == "unfinished"
