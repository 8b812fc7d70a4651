"""Where all jobs are stopped, nothing begins, nothing goes on and nothing leaves; who is in quarantine has no part."""

from pathlib import Path
from typing import Any

import pytest
from nvflare.apis.controller_spec import Task
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import RunStatus
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import JobError
from fedvoxel.federation.outcome import OUTCOME_FILE, load_outcome
from fedvoxel.flare import executor as executor_module
from fedvoxel.flare.messages import TASK_TRAIN, TASK_VALIDATE, error_of, result_reply
from fedvoxel.governance.incidents.switches import QUARANTINED, halt, lift, set_quarantined
from fedvoxel.privacy.policy import NoBudget
from fedvoxel.records.audit import AuditLog
from tests.flare.test_approved_deployer import Consortium
from tests.flare.test_controller import GOOD, HOSTILE, FakeSites, panics_of, run_sites, well_behaved
from tests.flare.test_executor import MODEL, FakeTrainer, Hospital
from tests.flare.test_outbound import ARRAYS, TRAINED, Kit
from tests.flare.test_start_check import SignedServer

EVERYBODY = dict.fromkeys((*GOOD, HOSTILE), well_behaved)
ROUNDS = {"num_rounds": 3, "min_sites": 2}

# ------------------------------------------------------------------ at the server


class Switching(FakeSites):
    """Throws a switch of the server's while the sites train in round 1, or after they have answered it."""

    switch: Any = staticmethod(lambda: None)
    asked: list[tuple[str, ...]]

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *rest: Any) -> None:
        index = int(FLModelUtils.from_shareable(task.data).current_round or 0)
        if task.name == TASK_TRAIN:
            self.asked.append(tuple(targets))
            if index == 1:
                self.switch()
        super().broadcast(task, fl_ctx, targets, *rest)


@pytest.fixture
def switching(monkeypatch: pytest.MonkeyPatch) -> type[Switching]:
    monkeypatch.setattr(Switching, "asked", [], raising=False)
    return Switching


def test_a_run_is_aborted_and_goes_on_when_its_job_is_submitted_after_the_end_of_the_stop(
    switching: type[Switching], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "switch", lambda _: halt(tmp_path / "state"))
    panics = panics_of(tmp_path, EVERYBODY, switching, **ROUNDS)
    outcome = load_outcome(tmp_path / "job-1" / OUTCOME_FILE)
    assert (outcome.status, outcome.rounds_committed) == ("aborted", 1)
    assert "stopped here for an incident" in str(outcome.reason) and "the run has stopped" in panics[0]
    lift(tmp_path / "state")
    finished = run_sites(tmp_path, EVERYBODY, job_id="job-2", **ROUNDS)
    assert (finished.status, finished.rounds_committed, len(finished.attempts)) == ("finished", 3, 2)


def test_a_site_in_quarantine_is_asked_for_nothing_and_an_answer_on_its_way_does_not_count(
    switching: type[Switching], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "switch", lambda _: set_quarantined(tmp_path / "state", [HOSTILE]))
    outcome = run_sites(tmp_path, EVERYBODY, switching, **ROUNDS)
    first, second, third = outcome.rounds
    assert (outcome.status, set(first.contributed)) == ("finished", set(EVERYBODY))
    assert second.missing == third.missing == {HOSTILE: QUARANTINED}
    assert switching.asked == [tuple(sorted(EVERYBODY))] * 2 + [tuple(sorted(GOOD))]
    assert outcome.untested and outcome.untested.missing == {HOSTILE: QUARANTINED}
    assert set(second.contributed) == set(second.validation) == set(GOOD)


def test_a_site_that_is_let_in_while_a_round_goes_on_is_not_waited_for_in_it_and_is_asked_in_the_next(
    switching: type[Switching], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_quarantined(tmp_path / "state", [HOSTILE])
    monkeypatch.setattr(switching, "switch", lambda _: set_quarantined(tmp_path / "state", []))
    first, second, third = run_sites(tmp_path, EVERYBODY, switching, **ROUNDS).rounds
    assert first.missing == second.missing == {HOSTILE: QUARANTINED}
    assert set(third.contributed) == set(EVERYBODY)
    assert switching.asked == [tuple(sorted(GOOD))] * 2 + [tuple(sorted(EVERYBODY))]


def test_where_too_few_are_left_of_quarantine_the_run_fails_and_does_not_wait_for_ever(tmp_path: Path) -> None:
    set_quarantined(tmp_path / "state", [GOOD[0], HOSTILE])
    outcome = run_sites(tmp_path, EVERYBODY, **ROUNDS)
    assert outcome.status == "failed" and QUARANTINED in str(outcome.reason)


def test_nobody_is_asked_where_all_are_in_quarantine(switching: type[Switching], tmp_path: Path) -> None:
    """FLARE would send a task that names nobody to everybody."""
    set_quarantined(tmp_path / "state", EVERYBODY)
    assert run_sites(tmp_path, EVERYBODY, switching, **ROUNDS).status == "failed"
    assert switching.asked == []


def test_a_list_of_quarantine_that_cannot_be_read_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/quarantined.json").write_text("[")
    panics = panics_of(tmp_path, EVERYBODY, **ROUNDS)
    assert load_outcome(tmp_path / "job-1" / OUTCOME_FILE).status == "aborted" and "nobody can tell" in panics[0]


def test_no_job_is_started_until_the_stop_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = SignedServer(tmp_path, monkeypatch)
    server.restart()
    job_id = server.submit_signed(RunStatus.SUBMITTED)
    server.component._find_orphans(server.context)
    halt(tmp_path / "state")
    assert server.ask_to_start(job_id) == "all jobs are stopped at the server for an incident"
    lift(tmp_path / "state")
    assert server.ask_to_start(job_id) is None


def test_a_job_that_waits_for_long_is_not_given_up_by_flare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scheduler ends a job at the tenth try, and asks ever more rarely until then."""
    server = SignedServer(tmp_path, monkeypatch)
    server.restart()
    server.component._find_orphans(server.context)
    job_id = server.submit_signed(RunStatus.SUBMITTED)
    halt(tmp_path / "state")
    for _ in range(15):
        assert server.started_by_flare() is None
    meta = server.meta(job_id)
    assert meta["status"] == "SUBMITTED" and meta["schedule_count"] == 1 and len(meta["schedule_history"]) == 2
    lift(tmp_path / "state")
    assert server.started_by_flare() == job_id


# ------------------------------------------------------------------ at a site


def test_nothing_leaves_and_the_audit_says_so(tmp_path: Path) -> None:
    kit = Kit(tmp_path)
    halt(tmp_path / "state")
    with pytest.raises(JobError, match="stopped here"):
        kit.filtered(result_reply(TRAINED, ARRAYS, difference=True))
    [(_, event)] = AuditLog(tmp_path / "state").read()
    assert (event.kind, event.outcome) == ("answer", "refused") and "stopped here" in event.reason
    lift(tmp_path / "state")
    assert kit.filtered(result_reply(TRAINED, ARRAYS, difference=True)).get_return_code() in (None, ReturnCode.OK)


def test_no_job_is_put_in_place(tmp_path: Path) -> None:
    consortium = Consortium(tmp_path)
    job, kit = consortium.job(), consortium.hospital.kit
    halt(kit.state)
    assert "all jobs are stopped at this site" in consortium.deploy(job) and not consortium.app.exists()
    lift(kit.state)
    assert consortium.deploy(job) == "" and consortium.app.exists()


class Watching(FakeTrainer):
    """Is asked to stop as soon as the switch is thrown in the middle of its work."""

    stopped: list[bool]
    state: Path

    def ask_on(self, message: Any, should_stop: Any, on_progress: Any, checkpoint: Any) -> Any:
        before = should_stop()
        halt(self.state)
        self.stopped.extend([before, should_stop()])
        return super().ask_on(message, should_stop, on_progress, checkpoint)


def test_a_trainer_is_ended_in_the_middle_and_asked_for_nothing_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watching, "stopped", [], raising=False)
    monkeypatch.setattr(Watching, "state", tmp_path / "state", raising=False)
    monkeypatch.setattr(executor_module, "TrainerProcess", Watching)
    hospital = Hospital(tmp_path)
    hospital.site.add("blobs", "p1", NoBudget())
    executor = hospital.executor("blobs")
    with pytest.raises(JobError, match="stopped here"):
        hospital.answer(executor, TASK_TRAIN)
    assert Watching.stopped == [False, True]
    asked = FLModel(ParamsType.FULL, MODEL, current_round=0, total_rounds=1, meta={"split": "validation"})
    refused = executor.execute(TASK_VALIDATE, FLModelUtils.to_shareable(asked), hospital.context(), Signal())
    assert "stopped here" in error_of(refused) and len(Watching.stopped) == 2
