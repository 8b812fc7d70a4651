"""No job is started, or started again, whose signer's certificate does not count at the server any more."""

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import Job, RunStatus
from nvflare.apis.storage import StorageException
from nvflare.apis.utils.event import fire_event_to_components
from nvflare.app_common.job_schedulers.job_scheduler import DefaultJobScheduler
from nvflare.fuel.utils.zip_utils import zip_directory_to_bytes

from fedvoxel.federation.outcome import OUTCOME_FILE, load_outcome
from fedvoxel.flare import next_attempt, resumption, start_check
from fedvoxel.flare.resumption import RESUMED_AS, Resumption
from fedvoxel.flare.round_journal import RoundJournal
from fedvoxel.governance.authority import Authority
from fedvoxel.governance.restored_runs import RESTORED_MARK
from fedvoxel.governance.rotation import begin_rotation, finish_rotation
from fedvoxel.records.audit import AuditLog
from tests.flare.test_job_signer import KEY, LEAD, revoke, signed_app
from tests.flare.test_resumption import SITES, Server
from tests.governance.quick_authority import PASSPHRASE, quick_authority


class SignedServer(Server):
    """Has the consortium's root and list, and jobs that the lead has signed."""

    def __init__(self, folder: Path, patched: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self.patched, self.asked = patched, list[str]()
        self.authority = quick_authority(folder / "ca")
        self.component = self.begun()
        self.put(self.authority)

    def put(self, authority: Authority) -> None:
        """Gives the server the authority's root and list."""
        for name in ("rootCA.pem", "crl.pem"):
            shutil.copy(authority.folder / name, self.folder / "startup")

    def submit_signed(self, status: RunStatus) -> str:
        """Stores a job of the lead's, as it stands; returns its id."""
        shutil.rmtree(self.folder / "a_job", ignore_errors=True)
        signed_app(self.folder / "a_job", self.authority, days=30)
        content = zip_directory_to_bytes(str(self.folder), "a_job")
        meta = {"name": "a_job", "min_clients": 2, "deploy_map": {"app": ["@ALL"]}, "job_folder_name": "a_job"}
        job_id = str(self.jobs.create(meta, content, self.context)["job_id"])
        self.jobs.set_status(job_id, status, self.context)
        return job_id

    def ask_to_start(self, job_id: str) -> str | None:
        """Does what FLARE's scheduler does before it asks the sites; returns why the job is blocked."""
        self.context.set_prop(FLContextKey.JOB_META, self.meta(job_id), private=True, sticky=False)
        self.context.set_prop(FLContextKey.JOB_BLOCK_REASON, None, private=True, sticky=False)
        self.component.handle_event(EventType.BEFORE_CHECK_CLIENT_RESOURCES, self.context)
        reason = self.context.get_prop(FLContextKey.JOB_BLOCK_REASON)
        return None if reason is None else str(reason)

    def fire_event(self, event_type: str, fl_ctx: FLContext) -> None:
        fire_event_to_components(event_type, [self.component], fl_ctx)

    def check_client_resources(self, job: Job, *_: Any) -> dict[str, Any]:
        """Is FLARE's question to the sites, which it asks of a job that it would start next."""
        self.asked.append(job.job_id)
        return dict.fromkeys(SITES, (True, ""))

    def started_by_flare(self) -> str | None:
        """Has FLARE's own scheduler choose a job that it would start; returns that."""
        # FLARE makes a context of its own for each.
        self.context.set_prop(FLContextKey.JOB_BLOCK_REASON, None, private=True, sticky=False)
        waiting = self.jobs.get_jobs_to_schedule(self.context)
        job, _ = DefaultJobScheduler(min_schedule_interval=0).schedule_job(self.jobs, waiting, self.context)
        return None if job is None else str(job.job_id)

    @property
    def refused(self) -> list[tuple[str, str]]:
        """Are the jobs that the audit has as refused, and why."""
        events = [event for _, event in AuditLog(self.folder / "state").read()]
        return [(event.job_id, event.reason) for event in events if (event.kind, event.outcome) == ("job", "refused")]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SignedServer:
    monkeypatch.setattr(resumption, "_LOOK_S", 0.01)
    monkeypatch.setattr(next_attempt, "_SITES_WAIT_S", 0.3)
    return SignedServer(tmp_path, monkeypatch)


def revoked(server: SignedServer) -> None:
    revoke(server.authority)
    server.put(server.authority)


def ended(server: SignedServer) -> None:
    moment = SimpleNamespace(now=lambda zone: datetime.now(zone) + timedelta(days=60))
    server.patched.setattr(start_check, "datetime", moment)


def finish_rotation_of(server: SignedServer) -> Authority:
    both = begin_rotation(server.authority, server.authority.folder, PASSPHRASE, 3650, 90)
    both.issue(LEAD, KEY.public_key(), 90)
    return finish_rotation(both, both.folder, PASSPHRASE, 90)


def root_dropped(server: SignedServer) -> None:
    server.put(finish_rotation_of(server))


def test_a_queued_job_of_a_person_who_was_revoked_is_not_started(server: SignedServer) -> None:
    job_id = server.submit_signed(RunStatus.SUBMITTED)
    assert server.ask_to_start(job_id) is None and server.meta(job_id)["status"] == "SUBMITTED"
    revoked(server)
    reason = server.ask_to_start(job_id)
    assert reason == f"the certificate with which {LEAD.name} signed the job is revoked"
    told = server.meta(job_id)
    assert told["status"] == "FINISHED:FAILED_TO_RUN" and told["job_deploy_detail"] == [f"server: {reason}"]
    assert server.refused == [(job_id, reason)]
    assert server.jobs.get_jobs_to_schedule(server.context) == []


def test_flares_own_scheduler_asks_first_and_starts_nothing_when_the_look_fails(
    server: SignedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = server.submit_signed(RunStatus.SUBMITTED)
    with monkeypatch.context() as patched:
        patched.setattr(start_check, "why_not", None)
        assert server.started_by_flare() is None and server.asked == []
    assert server.started_by_flare() == job_id and server.asked == [job_id]
    revoked(server)
    assert server.started_by_flare() is None and server.asked == [job_id]
    told = server.meta(job_id)
    assert told["status"] == "FINISHED:FAILED_TO_RUN"
    assert "its log says why" in told["schedule_history"][0] and "is revoked" in told["schedule_history"][-1]


def test_what_keeps_the_server_from_looking_holds_the_job_back(
    server: SignedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = server.submit_signed(RunStatus.SUBMITTED)
    (server.folder / "startup" / "crl.pem").write_text("torn")
    assert "revocation list in crl.pem, got none" in str(server.ask_to_start(job_id))
    server.put(server.authority)
    with monkeypatch.context() as patched:
        patched.setattr(server.jobs, "get_content", lambda meta, fl_ctx: None)
        with pytest.raises(StorageException):  # which FLARE catches, and goes on
            server.ask_to_start(job_id)
    assert "its log says why" in str(server.context.get_prop(FLContextKey.JOB_BLOCK_REASON))
    assert server.meta(job_id)["status"] == "SUBMITTED" and server.refused == []
    assert server.ask_to_start(job_id) is None
    server.context.set_prop(FLContextKey.JOB_BLOCK_REASON, "another component's", private=True, sticky=False)
    server.component.handle_event(EventType.BEFORE_CHECK_CLIENT_RESOURCES, server.context)
    assert server.context.get_prop(FLContextKey.JOB_BLOCK_REASON) == "another component's"


@pytest.mark.parametrize(
    ("change", "reason"),
    [(revoked, "is revoked"), (ended, "signed the job ended on"), (root_dropped, "a root that is not trusted")],
)
def test_an_interrupted_run_whose_signature_counts_no_more_is_given_up_and_says_why(
    change: Callable[[SignedServer], None], reason: str, server: SignedServer
) -> None:
    job_id = server.submit_signed(RunStatus.FINISHED_ABNORMAL)
    folder = server.attempt(job_id)
    change(server)
    server.ended(job_id)
    outcome, entry = load_outcome(folder / OUTCOME_FILE), RoundJournal(folder / "journal").read()
    assert server.others(job_id) == [] and server.meta(job_id).get(RESUMED_AS) is None
    assert outcome.status == "failed" and entry and entry.ended == "failed"
    assert reason in str(outcome.reason) and "submitting the same job again goes on after them" in str(outcome.reason)
    assert [job for job, _ in server.refused] == [job_id]


def test_an_interrupted_run_whose_signature_counts_goes_on(server: SignedServer) -> None:
    job_id = server.submit_signed(RunStatus.FINISHED_ABNORMAL)
    server.attempt(job_id)
    server.ended(job_id)
    (again,) = server.others(job_id)
    assert server.ask_to_start(again) is None


def test_a_run_whose_next_attempt_is_not_started_is_given_up_at_once(server: SignedServer) -> None:
    job_id = server.submit_signed(RunStatus.FINISHED_ABNORMAL)
    folder = server.attempt(job_id)
    server.ended(job_id)
    (again,) = server.others(job_id)
    revoked(server)
    assert "is revoked" in str(server.ask_to_start(again))
    server.component.handle_event(EventType.SYSTEM_END, server.context)
    server.component._work()
    assert "is revoked" in str(load_outcome(folder / OUTCOME_FILE).reason)
    assert server.others(job_id, again) == []


@pytest.mark.parametrize("restored", [False, True])
def test_nothing_is_started_until_the_servers_jobs_could_be_listed(
    restored: bool, server: SignedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listing fails, of whatever, and FLARE begins all the same."""
    waits, runs = server.submit_signed(RunStatus.SUBMITTED), server.submit(RunStatus.RUNNING, "no training")
    if restored:
        (server.folder / "state" / RESTORED_MARK).touch()
    with monkeypatch.context() as patched:
        patched.setattr(server.jobs, "get_all_jobs", None)
        server.component = Resumption()
        server.fire_event(EventType.SYSTEM_BOOTSTRAP, server.context)
        assert server.started_by_flare() is None and not server.component._turn([])
        assert server.started_by_flare() is None and server.meta(waits)["status"] == "SUBMITTED"
    assert "has not ended yet" in server.meta(waits)["schedule_history"][-1]
    assert server.component._turn([])
    assert server.meta(runs)["status"] == "FINISHED:ABNORMAL"
    assert server.started_by_flare() == (None if restored else waits)
    assert server.meta(waits)["status"] == ("FINISHED:ABNORMAL" if restored else "SUBMITTED")


def test_nothing_of_a_backup_is_started_while_one_of_its_jobs_cannot_be_ended(
    server: SignedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = server.submit_signed(RunStatus.SUBMITTED)
    (server.folder / "state" / RESTORED_MARK).touch()
    with monkeypatch.context() as patched:
        patched.setattr(server.jobs, "set_status", raises(StorageException("failed to write")))
        server.component = server.begun()
        assert server.started_by_flare() is None and not server.component._turn([])
        assert (server.folder / "state" / RESTORED_MARK).exists()
    assert server.component._turn([]) and server.meta(waits)["status"] == "FINISHED:ABNORMAL"
    anew = server.submit_signed(RunStatus.SUBMITTED)
    assert server.started_by_flare() == anew


def raises(error: Exception) -> Callable[..., None]:
    def fails(*arguments: Any) -> None:
        raise error

    return fails


def test_a_run_waits_while_the_list_cannot_be_relied_on(server: SignedServer) -> None:
    job_id = server.submit_signed(RunStatus.FINISHED_ABNORMAL)
    folder = server.attempt(job_id)
    (server.folder / "startup" / "crl.pem").write_text("torn")
    server.ended(job_id)
    assert server.others(job_id) == [] and load_outcome(folder / OUTCOME_FILE).status == "unfinished"
    told = server.meta(job_id)
    assert told[RESUMED_AS] == "" and "expected the root's revocation list" in told["resume_waits"]
    server.put(server.authority)
    server.ended(job_id)
    assert len(server.others(job_id)) == 1


def test_the_newest_list_counts_wherever_it_lies(server: SignedServer) -> None:
    """The kit's may be newer than the copies, which a full disk keeps from being written; or put back by a thief."""
    list_file, copies = server.folder / "startup/crl.pem", server.folder / "state/certificates"
    job_id = server.submit_signed(RunStatus.SUBMITTED)
    assert server.ask_to_start(job_id) is None
    old, old_copies = list_file.read_bytes(), {path: path.read_bytes() for path in copies.iterdir()}
    assert len(old_copies) == 2
    revoked(server)
    new = list_file.read_bytes()
    assert "is revoked" in str(server.ask_to_start(job_id)), "the copies are older"
    list_file.write_bytes(old)
    assert "is revoked" in str(server.ask_to_start(job_id)), "the copies are newer"
    list_file.write_bytes(new)
    for path in old_copies:
        path.write_bytes(b"damaged")
    assert "both copies of the last good revocation list are damaged" in str(server.ask_to_start(job_id))
    server.put(finish_rotation_of(server))
    for path, content in old_copies.items():
        path.write_bytes(content)
    list_file.write_bytes(b"torn")
    assert "revocation list in crl.pem, got none" in str(server.ask_to_start(job_id)), (
        "the copies are of a dropped root"
    )


def test_a_kit_of_old_without_any_list_starts_jobs(server: SignedServer) -> None:
    job_id = server.submit_signed(RunStatus.SUBMITTED)
    (server.folder / "startup" / "crl.pem").unlink()
    assert server.ask_to_start(job_id) is None


def test_a_job_that_died_before_its_run_had_a_journal_is_not_begun_again_by_a_revoked_person(
    server: SignedServer,
) -> None:
    job_id = server.submit_signed(RunStatus.FINISHED_ABNORMAL)
    revoked(server)
    server.ended(job_id)
    assert server.others(job_id) == [] and [job for job, _ in server.refused] == [job_id]


def test_a_stored_job_whose_bytes_have_changed_is_refused_not_held_for_ever(server: SignedServer) -> None:
    job_id = server.submit_signed(RunStatus.SUBMITTED)
    (content,) = (server.folder / "state" / "jobs").rglob("data")
    content.write_bytes(content.read_bytes()[:-40])
    assert "cannot be read any more" in str(server.ask_to_start(job_id))
    assert server.meta(job_id)["status"] == "FINISHED:FAILED_TO_RUN"
