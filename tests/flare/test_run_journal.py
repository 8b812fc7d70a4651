"""What is on record of a run whose journal and outcome do not say the same."""

from pathlib import Path

from nvflare.apis.shareable import Shareable

from fedvoxel.federation.outcome import OUTCOME_FILE, load_outcome
from fedvoxel.federation.taking_part import part_of
from fedvoxel.flare.interrupted_runs import InterruptedRun, give_up
from fedvoxel.flare.messages import TASK_TRAIN
from fedvoxel.flare.round_journal import JournalEntry, RoundJournal
from fedvoxel.flare.run_journal import outcome_of
from tests.flare.test_controller import GOOD, Answer, well_behaved
from tests.flare.test_unbegun_attempt import ANSWERS, dies_after

LATE = "hospital-z"


def from_round(first: int) -> Answer:
    """Returns a site that answers no round before one."""
    asked: list[str] = []

    def answer(task: str) -> list[Shareable]:
        asked.append(task)
        return [] if task == TASK_TRAIN and asked.count(task) <= first else well_behaved(task)

    return answer


def died(folder: Path) -> tuple[Path, JournalEntry]:
    """Returns a run's folder and journal whose server died when a site's first round was only in the journal."""
    dies_after(2, folder, ANSWERS | {LATE: from_round(1)}, num_rounds=3, round_timeout_s=0.5)
    run = folder / "state/runs/a_run"
    entry = RoundJournal(run / "journal").read()
    assert entry and entry.committed == 2 and load_outcome(run / OUTCOME_FILE).rounds_committed == 1
    return run, entry


def test_a_run_that_is_given_up_tells_of_the_round_that_only_its_journal_has(tmp_path: Path) -> None:
    run, entry = died(tmp_path)
    give_up(InterruptedRun(run, entry, "job-1", 0), "its certificate has ended")
    outcome = load_outcome(run / OUTCOME_FILE)
    assert outcome.status == "failed" and "certificate has ended; 2 rounds are committed" in str(outcome.reason)
    assert (outcome.rounds_committed, len(outcome.rounds), set(outcome.rounds[0].contributed)) == (2, 2, set(GOOD))
    assert part_of(LATE, outcome).trained_from == 1


def test_an_outcome_that_is_damaged_is_had_from_the_journal(tmp_path: Path) -> None:
    run, entry = died(tmp_path)
    (run / OUTCOME_FILE).write_text("{")
    give_up(InterruptedRun(run, entry, "job-1", 0), "its certificate has ended")
    assert load_outcome(run / OUTCOME_FILE).status == "failed"


def test_the_outcome_of_another_run_that_had_the_key_before_is_not_this_ones(tmp_path: Path) -> None:
    run, entry = died(tmp_path)
    other = entry.model_copy(update={"attempts": (entry.attempts[0].model_copy(update={"job_id": "job-9"}),)})
    assert outcome_of(run, entry) and outcome_of(run, other) is None
