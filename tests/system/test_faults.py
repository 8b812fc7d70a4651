"""What breaks in the middle of a run costs that site's rounds only, and the outcome says whose and why."""

import time
from pathlib import Path

import psutil
import pytest

from fedvoxel.federation.outcome import RunOutcome, load_outcome

from .conftest import SITES, SystemUnderTest, job_variant, trainers_of, wait_until

pytestmark = pytest.mark.slow

EPOCHS = 15
"""Enough for a round to last seconds, so that a fault meets a site in the middle of its training."""

LOST = ("hospital-a", "hospital-c")
KILLED_TRAINER, KILLED_SITE = "hospital-b", "hospital-d"


def _kill_trainer(system: SystemUnderTest, site: str) -> None:
    (trainer,) = trainers_of(system.kit(site))
    trainer.kill()


def _missing(outcome: RunOutcome, site: str) -> dict[int, str]:
    """Returns the rounds that a site missed, with the reasons; it must have contributed to all the others."""
    for record in outcome.rounds:
        assert (site in record.contributed) != (site in record.missing), record
    return {record.round: record.missing[site] for record in outcome.rounds if site in record.missing}


def test_a_killed_trainer_costs_a_round_and_a_killed_site_its_rest(system: SystemUnderTest, tmp_path: Path) -> None:
    # Long rounds: on a busy machine too the site is killed in the round that was waited for.
    job_id = system.submit(job_variant(tmp_path, "faults", rounds=4, epochs=3 * EPOCHS))
    system.wait_until_training(job_id, 1, [KILLED_TRAINER])
    _kill_trainer(system, KILLED_TRAINER)
    system.wait_until_training(job_id, 2, [KILLED_SITE])
    system.running.stop(KILLED_SITE, abruptly=True)
    outcome_file = system.state("server", "faults") / "outcome.json"
    wait_until(lambda: load_outcome(outcome_file).status != "unfinished", 120, "the run has ended")
    ended = time.monotonic()
    system.wait(job_id, 60)
    assert time.monotonic() - ended < 60

    outcome = system.outcome(job_id)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 4)
    # On a slow machine the round has lasted long enough for a new trainer to go on from its last epoch.
    missed = _missing(outcome, KILLED_TRAINER)
    assert set(missed) <= {1} and all("signal 9" in reason for reason in missed.values())
    assert _missing(outcome, KILLED_SITE) == {2: "lost its connection", 3: "lost its connection"}
    assert all(_missing(outcome, site) == {} for site in set(SITES) - {KILLED_TRAINER, KILLED_SITE})
    assert set(outcome.test) == set(SITES) - {KILLED_SITE}


def test_where_too_few_sites_are_left_the_run_says_so_and_goes_on_when_they_are_back(
    system: SystemUnderTest, tmp_path: Path
) -> None:
    rounds = {"min_sites": 3}
    # Long rounds: on a busy machine too both sites are killed in the round that was waited for.
    job_id = system.submit(job_variant(tmp_path, "quorum", rounds=4, epochs=3 * EPOCHS, rounds_section=rounds))
    system.wait_until_training(job_id, 1, LOST)
    for site in LOST:
        system.running.stop(site, abruptly=True)
    assert system.wait(job_id)["status"] != "FINISHED:COMPLETED"
    outcome = system.outcome(job_id)
    assert (outcome.status, outcome.rounds_committed) == ("unfinished", 1)
    assert outcome.reason and "round 1: 2 of the 3 sites" in outcome.reason
    assert "hospital-a: lost its connection; hospital-c: lost its connection" in outcome.reason
    for site in LOST:
        system.running.start(site)
    kept = system.state("server", "quorum") / "outcome.json"
    finished = wait_until(lambda: (told := load_outcome(kept)).status == "finished" and told, 240, "the run has ended")
    assert (finished.rounds_committed, len(finished.attempts)) == (4, 2) and finished.model
    assert all(set(record.contributed) == set(SITES) for record in finished.rounds)


def test_an_aborted_job_ends_its_trainers_and_says_so(system: SystemUnderTest, tmp_path: Path) -> None:
    job_id = system.submit(job_variant(tmp_path, "aborted", rounds=50, epochs=EPOCHS))
    system.wait_until_training(job_id, 1, SITES)
    trainers = [trainer for site in SITES for trainer in trainers_of(system.kit(site))]
    assert len(trainers) == len(SITES)
    system.session.abort_job(job_id)
    _, alive = psutil.wait_procs(trainers, timeout=10)
    assert not alive
    assert system.wait(job_id)["status"] == "FINISHED:ABORTED"
    outcome = system.outcome(job_id)
    assert outcome.status == "aborted" and outcome.reason and "by a person" in outcome.reason
    assert 1 <= outcome.rounds_committed < 50
