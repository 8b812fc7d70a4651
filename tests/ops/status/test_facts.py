"""What the server's files say is read; what cannot be read is named, takes nothing else away, and is never made up."""

import shutil
from datetime import UTC, datetime, timedelta

import pytest

from fedvoxel.federation.outcome import OUTCOME_FILE
from fedvoxel.flare.kept_view import VIEW_FILE
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.sites_heard import HEARD_FILE
from fedvoxel.ops.status.facts import LIVE, MOST_RUNS, Facts, collect
from tests.ops.status.status_sample import DONE_BEFORE, RUN, SITES, WHY, under_way, write_run
from tests.sample_run import failed_outcome


def facts_of(kit: Kit) -> Facts:
    return collect(kit, datetime.now(UTC))


def test_all_of_it_is_read(kit: Kit) -> None:
    under_way(kit.state, datetime.now(UTC))
    facts = facts_of(kit)
    assert facts.problems == () and facts.halted is False and facts.consortium == "small"
    assert set(facts.heard) == set(SITES) and set(facts.kept_out) == {"hospital-c"}
    runs = {run.run_key: run for run in facts.runs}
    assert set(runs) == {RUN, "hippocampus-2026-02", "first-try", "hippocampus-private"}
    assert [run.run_key for run in facts.runs if not run.is_over] == [RUN]
    progress = runs[RUN].progress
    assert progress and progress.round == DONE_BEFORE and progress.sites["hospital-c"].reason == WHY
    assert len(runs["hippocampus-private"].received.by_site["hospital-b"]) == 5
    (incident,) = facts.incidents
    assert incident.keeps_out == {"hospital-c"}


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("state/incidents/incidents.jsonl", "the incidents"),
        ("state/quarantined.json", "which sites are kept out"),
        (f"state/{HEARD_FILE}", "which sites are online"),
        ("state/privacy/server.jsonl", "the privacy ledger"),
        (f"state/runs/{RUN}/{VIEW_FILE}", "one of the runs"),
        (f"state/runs/first-try/{OUTCOME_FILE}", "one of the runs"),
    ],
)
def test_what_cannot_be_read_is_named_and_the_rest_is_there(file: str, what: str, kit: Kit) -> None:
    whole = facts_of(kit)
    (kit.folder / file).write_text("damaged: hospital-c\n")
    facts = facts_of(kit)
    assert facts.problems == (what,)
    assert len(facts.runs) >= len(whole.runs) - 1 and facts.halted is False


def test_a_view_of_a_process_that_is_gone_says_nothing(kit: Kit) -> None:
    now = datetime.now(UTC)
    under_way(kit.state, now, now - LIVE - timedelta(seconds=1))
    (run,) = [run for run in collect(kit, now).runs if not run.is_over]
    assert run.progress is None and run.outcome and run.outcome.rounds_committed == DONE_BEFORE


def test_the_record_of_an_earlier_run_with_the_same_key_is_not_taken_for_the_present_ones(kit: Kit) -> None:
    under_way(kit.state, datetime.now(UTC))
    shutil.copy(kit.state / "runs/first-try" / OUTCOME_FILE, kit.state / "runs" / RUN / OUTCOME_FILE)
    (run,) = [run for run in facts_of(kit).runs if run.run_key == RUN]
    assert run.outcome is None and run.progress and not run.is_over and run.sites == SITES


def test_a_run_that_is_over_shows_no_progress(kit: Kit) -> None:
    under_way(kit.state, datetime.now(UTC))
    path = kit.state / "runs" / RUN / OUTCOME_FILE
    path.write_text(path.read_text().replace('"status": "unfinished"', '"status": "aborted"'))
    (run,) = [run for run in facts_of(kit).runs if run.run_key == RUN]
    assert run.is_over and run.progress is None


def test_the_newest_runs_are_told(kit: Kit) -> None:
    for index in range(MOST_RUNS + 3):
        write_run(kit.state, failed_outcome().model_copy(update={"run_key": f"run-{index}"}))
    assert len(facts_of(kit).runs) == MOST_RUNS


def test_a_server_that_has_done_nothing_yet_has_no_facts_and_no_problems(kit: Kit) -> None:
    shutil.rmtree(kit.state)
    facts = facts_of(kit)
    assert (facts.runs, facts.incidents, facts.problems, dict(facts.heard)) == ((), (), (), {})
