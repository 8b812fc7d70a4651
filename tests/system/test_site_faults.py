"""A site whose processes are killed goes on in the same job: nobody else loses a round, and it loses one at most."""

import time
from pathlib import Path

import pytest

from fedvoxel.ops.job_session import JobSession

from .conftest import SITES, SystemUnderTest, job_variant, processes_of, wait_until

pytestmark = pytest.mark.slow

EPOCHS, ROUNDS = 15, 8
KILLED, RESTARTED = "hospital-b", "hospital-d"
JOB_PROCESS = "nvflare.private.fed.app.client.worker_process"


def _training(system: SystemUnderTest, job_id: str, site: str) -> bool:
    seen = JobSession(system.session).look(job_id)
    assert not seen.finished, f"the job ended: {seen.status}"
    return site in seen.steps


def test_a_killed_job_process_is_started_again_in_the_same_job(system: SystemUnderTest, tmp_path: Path) -> None:
    job_id = system.submit(job_variant(tmp_path, "killed-job", rounds=4, epochs=EPOCHS))
    system.wait_until_training(job_id, 1, [KILLED])
    (process,) = processes_of(system.kit(KILLED), JOB_PROCESS)
    process.kill()
    assert system.wait(job_id)["status"] == "FINISHED:COMPLETED"

    outcome = system.outcome(job_id)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 4)
    print([(record.contributed, record.missing, record.seconds) for record in outcome.rounds])
    assert all(KILLED in record.contributed for record in outcome.rounds[2:])
    assert all(set(SITES) - {KILLED} <= set(record.contributed) for record in outcome.rounds)
    assert set(outcome.test) == set(SITES)


def test_a_restarted_site_is_back_in_the_same_job(system: SystemUnderTest, tmp_path: Path) -> None:
    job_id = system.submit(job_variant(tmp_path, "restarted-site", rounds=ROUNDS, epochs=EPOCHS))
    system.wait_until_training(job_id, 1, [RESTARTED])
    system.running.stop(RESTARTED, abruptly=True)
    started = time.monotonic()
    system.running.start(RESTARTED)
    wait_until(lambda: _training(system, job_id, RESTARTED), 60, "the site trains again")
    print(f"back after {time.monotonic() - started:.1f} s")
    assert system.wait(job_id)["status"] == "FINISHED:COMPLETED"

    outcome = system.outcome(job_id)
    print([(record.contributed, record.missing, record.seconds) for record in outcome.rounds])
    assert (outcome.status, outcome.rounds_committed) == ("finished", ROUNDS)
    assert RESTARTED in outcome.rounds[-1].contributed
    assert all(set(SITES) - {RESTARTED} <= set(record.contributed) for record in outcome.rounds)
    assert set(outcome.test) == set(SITES)
