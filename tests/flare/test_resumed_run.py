"""A job whose process dies, and the next one of the same words: the run goes on after its last committed round."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from nvflare.apis.controller_spec import Task
from nvflare.apis.fl_context import FLContext
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare.messages import TASK_INITIALIZE, TASK_TRAIN, TASK_VALIDATE
from fedvoxel.flare.not_here import NOT_HERE
from fedvoxel.flare.round_journal import RoundJournal
from fedvoxel.flare.run_audit import RunAudit
from fedvoxel.governance.audit_report import verify_log
from fedvoxel.governance.shut_out import REVOKED
from fedvoxel.records.atomic import write_json
from fedvoxel.records.audit import AUDIT_FILE, AuditLog
from fedvoxel.records.audit_event import AuditEvent
from tests.export.throwaway_root import NOW
from tests.flare.test_controller import GOOD, FakeSites, panics_of, run_sites, well_behaved

ANSWERS = dict.fromkeys(GOOD, well_behaved)
SECTION = {"num_rounds": 4, "server_optimizer": {"name": "adam"}}


class Killed(BaseException):
    """Ends the job's process, as far as the run can tell."""


class Dying(FakeSites):
    """Notes what is asked, and has the process die when a task of a round is sent."""

    at: ClassVar[tuple[str, int] | None] = None
    asked: ClassVar[list[tuple[str, int]]] = []
    runs: ClassVar[set[str]] = set()

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *rest: Any) -> None:
        model = FLModelUtils.from_shareable(task.data)
        now = (task.name, int(model.current_round or 0))
        if now == self.at:
            type(self).at = None
            super().broadcast(task, fl_ctx, targets[:1], *rest)  # one has answered when it dies
            raise Killed
        self.asked.append(now)
        if task.name == TASK_TRAIN:
            self.runs.add(str(model.meta["run_id"]))
        super().broadcast(task, fl_ctx, targets, *rest)


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    Dying.at, Dying.asked, Dying.runs = None, [], set()


def run(folder: Path, **rounds: Any) -> RunOutcome:
    return run_sites(folder, ANSWERS, Dying, **SECTION | rounds)


def dies(folder: Path, task: str, index: int, **rounds: Any) -> None:
    """Runs the job until its process dies in a round."""
    Dying.at = (task, index)
    with pytest.raises(Killed):
        panics_of(folder, ANSWERS, Dying, **SECTION | rounds)


def state(folder: Path) -> Path:
    return folder / "state" / "runs" / "a_run"


def logged(folder: Path, *kinds: str) -> list[AuditEvent]:
    """Returns what the server's log says, and checks that it is whole."""
    assert verify_log(folder / "state/audit" / AUDIT_FILE, None, None, NOW).flaws == []
    return [event for _, event in AuditLog(folder / "state").read() if event.kind in kinds]


def killed_before(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path, *at: int, **job: Any) -> None:
    """Runs the job until its process dies before it tells the log of something: of a round, if one is given."""

    def dies(self: RunAudit, *said: Any) -> None:
        if said[: len(at)] == at:
            raise Killed
        told(self, *said)

    told = getattr(RunAudit, name)
    with monkeypatch.context() as dying:
        dying.setattr(RunAudit, name, dies)
        with pytest.raises(Killed):
            run(folder, **job)


@pytest.mark.parametrize("index", [0, 1, 3])
def test_a_round_that_only_the_journal_has_is_in_the_log_before_the_run_goes_on(
    index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_before(monkeypatch, "committed", tmp_path, index)
    killed_before(monkeypatch, "began", tmp_path, job_id="job-2")  # the next attempt is cut off as well
    outcome = run(tmp_path, job_id="job-3")
    assert (outcome.status, outcome.rounds_committed, len(outcome.attempts)) == ("finished", 4, 3)
    rounds = logged(tmp_path, "round")
    assert [(event.round, event.job_id) for event in rounds] == [
        (each, "job-1" if each <= index else "job-3") for each in range(4)
    ], "under the job whose sites' answers it is made of"
    assert [event.reason != "" for event in rounds] == [each == index for each in range(4)]
    assert "recorded when the run went on" in rounds[index].reason
    models = [event.hashes["model"] for event in rounds]
    started, resumed = (event.hashes["model"] for event in logged(tmp_path, "run") if event.outcome != "finished")
    assert [event.hashes["model_before"] for event in rounds] == [started, *models[:-1]] and resumed == models[index]


def test_nothing_is_made_up_where_the_log_lacks_more_than_the_last_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies(tmp_path, TASK_TRAIN, 1)
    lost = tmp_path / "state/audit"
    kept = {path: path.read_bytes() for path in lost.iterdir()}
    dies(tmp_path, TASK_TRAIN, 3, job_id="job-2")
    for path, content in kept.items():
        path.write_bytes(content)
    run(tmp_path, job_id="job-3")
    rounds = [event.round for _, event in AuditLog(tmp_path / "state").read() if event.kind == "round"]
    assert rounds == [0, 3]


def test_a_run_whose_process_died_before_the_log_had_its_beginning_is_started_there_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, num_rounds=2)
    killed_before(monkeypatch, "began", tmp_path, job_id="job-2")
    dies(tmp_path, TASK_TRAIN, 1, job_id="job-3")
    run(tmp_path, job_id="job-4")
    begun = [(event.job_id, event.outcome) for event in logged(tmp_path, "run") if event.outcome != "finished"]
    assert begun == [("job-1", "started"), ("job-3", "started"), ("job-4", "resumed")]


@pytest.mark.parametrize("index", [0, 1, 3])
def test_the_run_goes_on_after_its_last_committed_round(index: int, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "died").mkdir()
    whole = run(tmp_path / "whole")
    dies(tmp_path / "died", TASK_TRAIN, index)
    for place in (state(tmp_path / "died"), tmp_path / "died" / "job-1"):
        unfinished = load_outcome(place / OUTCOME_FILE)
        assert unfinished.status == "unfinished" and f"{index} of 4 rounds" in str(unfinished.reason)
    Dying.asked, Dying.runs = [], set(list(Dying.runs)[-1:]) if index else set()
    outcome = run(tmp_path / "died")
    assert (outcome.status, outcome.rounds_committed, outcome.repeated_rounds) == ("finished", 4, (index,))
    assert [attempt.first_round for attempt in outcome.attempts] == [0, index]
    assert outcome.started == outcome.attempts[0].started
    assert [name for name in Dying.asked if name[0] == TASK_TRAIN] == [(TASK_TRAIN, each) for each in range(index, 4)]
    assert (TASK_INITIALIZE, 0) not in Dying.asked
    assert outcome.model and whole.model and outcome.model.sha256 == whole.model.sha256
    assert [one.contributed for one in outcome.rounds] == [one.contributed for one in whole.rounds]


def test_all_attempts_are_one_run_for_the_sites(tmp_path: Path) -> None:
    dies(tmp_path, TASK_TRAIN, 2)
    run(tmp_path)
    assert len(Dying.runs) == 1


@pytest.mark.parametrize("rounds", [{}, {"selection": {"name": "random", "fraction": 1.0}}])
@pytest.mark.parametrize("revoked", [False, True])
def test_a_site_that_is_not_in_an_attempt_is_missing_from_all_of_it(
    rounds: dict[str, Any], revoked: bool, tmp_path: Path
) -> None:
    away = "hospital-z"
    Dying.at = (TASK_TRAIN, 1)
    with pytest.raises(Killed):
        panics_of(tmp_path, ANSWERS | {away: well_behaved}, Dying, **SECTION | rounds)
    write_json(tmp_path / "state/certificates/shut_out.json", [away] if revoked else [])
    Dying.at = (TASK_TRAIN, 3)
    with pytest.raises(Killed):
        panics_of(tmp_path, ANSWERS, Dying, **SECTION | rounds, job_id="job-2")
    write_json(tmp_path / "state/certificates/shut_out.json", [])
    outcome = run(tmp_path, job_id="job-3", **rounds)
    why = REVOKED if revoked else NOT_HERE
    assert outcome.status == "finished" and outcome.sites == (*GOOD, away)
    assert [record.missing for record in outcome.rounds] == [{}, {away: why}, {away: why}, {away: NOT_HERE}]
    assert outcome.unvalidated and outcome.unvalidated.missing == {away: NOT_HERE}
    assert outcome.untested and outcome.untested.missing == {away: NOT_HERE}
    told = [(event.round, event.reason) for event in logged(tmp_path, "answer") if event.outcome == "missing"]
    of_rounds = [each for each in told if each[0] is not None]
    assert of_rounds == [(1, why), (2, why), (3, why), (3, NOT_HERE)], "round 3 was begun by two attempts"


def test_a_site_that_comes_for_a_later_attempt_takes_part_in_that(tmp_path: Path) -> None:
    away, everybody = "hospital-z", {**ANSWERS, "hospital-z": well_behaved}
    for job_id, answers, at in (("job-1", everybody, 1), ("job-2", ANSWERS, 2)):
        Dying.at = (TASK_TRAIN, at)
        with pytest.raises(Killed):
            panics_of(tmp_path, answers, Dying, **SECTION, job_id=job_id)
    outcome = run_sites(tmp_path, everybody, Dying, **SECTION, job_id="job-3")
    assert [away in record.contributed for record in outcome.rounds] == [True, False, True, True]
    assert [away in record.missing for record in outcome.rounds] == [False, True, False, False]


class Told(FakeSites):
    """Is told in the middle of a round that sites have connected."""

    at: ClassVar[dict[int, str]] = {}

    def broadcast(self, task: Task, fl_ctx: FLContext, *rest: Any) -> None:
        index = int(FLModelUtils.from_shareable(task.data).current_round or 0)
        if task.name == TASK_TRAIN and index in self.at:
            self._controller.job_sites._note("", {"site": self.at[index]}, fl_ctx)
        super().broadcast(task, fl_ctx, *rest)


@pytest.mark.parametrize(("first", "committed"), [("hospital-z", 2), ("a stranger", 4)])
def test_an_attempt_ends_after_a_round_where_a_site_of_the_run_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, committed: int
) -> None:
    away, everybody = "hospital-z", {**ANSWERS, "hospital-z": well_behaved}
    Dying.at = (TASK_TRAIN, 1)
    with pytest.raises(Killed):
        panics_of(tmp_path, everybody, Dying, **SECTION)
    monkeypatch.setattr(Told, "at", {1: first})
    panics = panics_of(tmp_path, ANSWERS, Told, **SECTION, job_id="job-2")
    outcome = load_outcome(state(tmp_path) / OUTCOME_FILE)
    assert outcome.rounds_committed == committed
    if committed == 4:
        assert (panics, outcome.status) == ([], "finished"), "who was never in the run does not end its attempt"
        return
    assert panics == ["the run has stopped: hospital-z connected, and is in the run's next attempt"]
    assert outcome.status == "unfinished"
    outcome = run_sites(tmp_path, everybody, Told, **SECTION, job_id="job-3")
    assert outcome.status == "finished" and len(outcome.attempts) == 3
    assert [away in record.contributed for record in outcome.rounds] == [True, False, True, True]


def test_a_run_that_dies_in_its_test_is_only_tested_again(tmp_path: Path) -> None:
    dies(tmp_path, TASK_VALIDATE, 4)
    Dying.asked = []
    outcome = run(tmp_path)
    assert outcome.status == "finished" and outcome.repeated_rounds == () and len(outcome.attempts) == 2
    assert {name for name, _ in Dying.asked} == {TASK_VALIDATE} and set(outcome.test) == set(GOOD)


@pytest.mark.parametrize("other", [{"num_rounds": 3}, {"server_optimizer": {"name": "yogi"}}])
def test_another_job_under_the_same_key_begins_anew(other: dict[str, Any], tmp_path: Path) -> None:
    dies(tmp_path, TASK_TRAIN, 2)
    Dying.asked = []
    outcome = run(tmp_path, **other)
    assert outcome.status == "finished" and len(outcome.attempts) == 1 and outcome.repeated_rounds == ()
    assert Dying.asked[0] == (TASK_INITIALIZE, 0) and len(Dying.runs) == 2


def test_a_finished_run_is_not_run_again_and_gives_its_result_again(tmp_path: Path) -> None:
    first = run(tmp_path)
    (tmp_path / "job-1" / "global_model.npz").unlink()
    Dying.asked = []
    again = run(tmp_path)
    assert Dying.asked == [] and "had finished before" in str(again.reason) and "another run_key" in str(again.reason)
    assert again.model_copy(update={"reason": None}) == first
    assert (tmp_path / "job-1" / "global_model.npz").is_file()
    assert load_outcome(state(tmp_path) / OUTCOME_FILE) == first
    assert not list((state(tmp_path) / "journal").glob("*.npz")), "a run that is never taken up again keeps no state"


def test_a_finished_run_whose_result_was_removed_is_run_anew(tmp_path: Path) -> None:
    run(tmp_path)
    (state(tmp_path) / OUTCOME_FILE).unlink()
    outcome = run(tmp_path)
    assert outcome.reason is None and len(outcome.attempts) == 1 and len(Dying.runs) == 2


def test_a_finished_run_is_run_anew_where_a_site_has_joined_since(tmp_path: Path) -> None:
    alone, section = {GOOD[0]: well_behaved}, SECTION | {"min_sites": 1}
    run_sites(tmp_path, alone, Dying, **section)
    outcome = run(tmp_path, min_sites=1)
    assert outcome.reason is None and outcome.sites == GOOD and len(Dying.runs) == 2
    assert "had finished before" in str(run_sites(tmp_path, alone, Dying, **section).reason)


def test_a_damaged_journal_fails_the_job_before_a_site_is_asked(tmp_path: Path) -> None:
    dies(tmp_path, TASK_TRAIN, 2)
    for path in (state(tmp_path) / "journal").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    Dying.asked = []
    outcome = run(tmp_path)
    assert outcome.status == "failed" and "journal on the server is damaged" in str(outcome.reason)
    assert str(tmp_path) not in str(outcome.reason) and Dying.asked == []


def test_a_round_that_the_journal_cannot_hold_is_not_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = RoundJournal.write

    def full(self: RoundJournal, entry: Any, state: Any = None) -> Any:
        if state is not None and entry.committed == 2:
            raise OSError(28, "No space left on device")
        return written(self, entry, state)

    with monkeypatch.context() as disk:
        disk.setattr(RoundJournal, "write", full)
        outcome = run(tmp_path)
    assert outcome.status == "unfinished" and "at least 1 of 4 rounds are committed" in str(outcome.reason)
    assert "No space left on device" in str(outcome.reason) and str(outcome.reason).endswith("when there is room")
    entry = RoundJournal(state(tmp_path) / "journal").read()
    assert entry and (entry.committed, entry.ended) == (1, "unfinished")
    again = run(tmp_path)
    assert (again.status, again.rounds_committed, again.repeated_rounds) == ("finished", 4, (1,))


def test_two_jobs_of_one_run_never_run_at_once(tmp_path: Path) -> None:
    with RoundJournal(state(tmp_path) / "journal").writing():
        outcome = run(tmp_path)
    assert outcome.status == "failed" and "another job of this run is running" in str(outcome.reason)
