"""A backup that takes longer than a run waits for it: the run stops, and goes on after its last committed round."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from nvflare.apis.shareable import Shareable

from fedvoxel.errors import LockedError
from fedvoxel.federation.outcome import OUTCOME_FILE, load_outcome
from fedvoxel.flare.messages import TASK_TRAIN, TASK_VALIDATE
from fedvoxel.flare.round_journal import RoundJournal
from fedvoxel.flare.run_audit import RunAudit
from fedvoxel.flare.run_ending import NO_OUTCOME
from fedvoxel.governance.audit_report import verify_log
from fedvoxel.records import chain
from fedvoxel.records.audit import AUDIT_FILE
from fedvoxel.records.chain import Chain
from tests.export.throwaway_root import NOW
from tests.flare.test_controller import GOOD, Answer, panics_of, run_sites, well_behaved

ANSWERS = dict.fromkeys(GOOD, well_behaved)
RUN = "state/runs/a_run"
JOURNAL, LOG = f"{RUN}/journal/journal.json", f"state/audit/{AUDIT_FILE}"
GOES_ON = "has been locked by another process for 0 s; the run goes on after its last committed round when it is free"


@pytest.fixture
def backup(monkeypatch: pytest.MonkeyPatch) -> Iterator[ExitStack]:
    """Is a backup that keeps what it has locked until it ends, and for which nobody waits long."""
    monkeypatch.setattr(chain, "LOCK_TIMEOUT_S", 0.05)
    with ExitStack() as held:
        yield held


def locking(backup: ExitStack, path: Path, task: str, index: int) -> Answer:
    """Returns a site during whose answer, the one of that number to that task, a backup locks something."""
    asked: list[str] = []

    def answer(name: str) -> list[Shareable]:
        asked.append(name)
        if name == task and asked.count(task) == index + 1:
            backup.enter_context(Chain(path).held())
        return well_behaved(name)

    return answer


@pytest.mark.parametrize(
    ("locked", "task", "index", "committed"),
    [(JOURNAL, TASK_TRAIN, 0, 0), (JOURNAL, TASK_TRAIN, 1, 1), (LOG, TASK_TRAIN, 1, 1), (LOG, TASK_VALIDATE, 1, 2)],
)
def test_a_run_stops_while_it_is_locked_out_and_goes_on(
    locked: str, task: str, index: int, committed: int, backup: ExitStack, tmp_path: Path
) -> None:
    answers = ANSWERS | {GOOD[0]: locking(backup, tmp_path / locked, task, index)}
    (panic,) = panics_of(tmp_path, answers)
    assert panic == f"the run has stopped: {Path(locked).name} {GOES_ON}"
    entry = RoundJournal(tmp_path / RUN / "journal").read()
    assert entry and (entry.committed, entry.ended) == (committed, "unfinished")
    for place in (RUN, "job-1"):
        assert load_outcome(tmp_path / place / OUTCOME_FILE).status == "unfinished"
    backup.close()
    outcome = run_sites(tmp_path, ANSWERS, job_id="job-2")
    assert (outcome.status, [attempt.first_round for attempt in outcome.attempts]) == ("finished", [0, committed])
    assert verify_log(tmp_path / LOG, None, None, NOW).flaws == []


def test_an_attempt_that_cannot_even_begin_leaves_the_run_to_the_next_one(backup: ExitStack, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(RunAudit, "committed", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            panics_of(tmp_path, ANSWERS)
    backup.enter_context(Chain(tmp_path / JOURNAL).held())
    before = load_outcome(tmp_path / RUN / OUTCOME_FILE)
    (panic,) = panics_of(tmp_path, ANSWERS, job_id="job-2")
    assert panic == f"the run has stopped: journal.json {GOES_ON}"
    told = load_outcome(tmp_path / "job-2" / OUTCOME_FILE)
    assert told.status == "unfinished" and GOES_ON in str(told.reason)
    assert load_outcome(tmp_path / RUN / OUTCOME_FILE) == before
    backup.close()
    outcome = run_sites(tmp_path, ANSWERS, job_id="job-3")
    assert (outcome.status, outcome.rounds_committed, len(outcome.attempts)) == ("finished", 2, 2)


def test_a_first_attempt_that_cannot_begin_has_failed(backup: ExitStack, tmp_path: Path) -> None:
    """The server goes on with no run that has no journal."""
    backup.enter_context(Chain(tmp_path / JOURNAL).held())
    (panic,) = panics_of(tmp_path, ANSWERS)
    assert panic == "the run failed: journal.json has been locked by another process for 0 s"
    assert load_outcome(tmp_path / "job-1" / OUTCOME_FILE).status == "failed"


def test_a_journal_that_is_locked_at_the_very_end_takes_nothing_back(backup: ExitStack, tmp_path: Path) -> None:
    answers = ANSWERS | {GOOD[0]: locking(backup, tmp_path / JOURNAL, TASK_VALIDATE, 1)}
    assert panics_of(tmp_path, answers) == []
    assert load_outcome(tmp_path / "job-1" / OUTCOME_FILE).status == "finished"


def test_whatever_else_our_own_code_raises_ends_the_run_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise LockedError("audit.jsonl is locked")

    monkeypatch.setattr(RunAudit, "__init__", locked)
    assert panics_of(tmp_path, ANSWERS) == [f"the run failed: audit.jsonl is locked; {NO_OUTCOME}"]
