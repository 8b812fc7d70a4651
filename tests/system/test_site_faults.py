"""A site whose processes are killed goes on in the same job: nobody else loses a round, and it loses one at most."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.ops.job_session import JobSession

from .conftest import SITES, SystemUnderTest, job_variant, processes_of, wait_until

pytestmark = pytest.mark.slow

EPOCHS, ROUNDS = 15, 8
KILLED, RESTARTED = "hospital-b", "hospital-d"
JOB_PROCESS = "nvflare.private.fed.app.client.worker_process"
logger = logging.getLogger(__name__)

STEPPED = {"name": "stepped", "step": 1.0, "levels": 3}


def _waits(system: SystemUnderTest, job_id: str, site: str) -> list[Any]:
    """Returns the waits for a site that a watcher is shown now."""
    seen = JobSession(system.session).look(job_id)
    assert not seen.finished, f"the job ended: {seen.status}"
    return [wait for wait in seen.progress.waits if wait.site == site] if seen.progress else []


def _trains(system: SystemUnderTest, job_id: str, site: str) -> bool:
    """Says whether a site is given a task again; a wait for one that was killed is as old as the question."""
    return site in JobSession(system.session).look(job_id).steps


def _only_lost_its_own(outcome: RunOutcome, site: str, rounds: int, most: int) -> None:
    """Checks that all rounds were committed, with all others, and that `site` missed `most` of them at most."""
    assert (outcome.status, outcome.rounds_committed) == ("finished", rounds), outcome.reason
    assert all(set(SITES) - {site} <= set(record.contributed) for record in outcome.rounds)
    assert len([record for record in outcome.rounds if site not in record.contributed]) <= most
    assert site in outcome.rounds[-1].contributed
    assert set(outcome.test) == set(SITES)


def test_a_killed_job_process_is_started_again_in_the_same_job(system: SystemUnderTest, tmp_path: Path) -> None:
    job_id = system.submit(job_variant(tmp_path, "killed-job", rounds=4, epochs=EPOCHS))
    system.wait_until_training(job_id, 1, [KILLED])
    (process,) = processes_of(system.kit(KILLED), JOB_PROCESS)
    process.kill()
    assert system.wait(job_id)["status"] == "FINISHED:COMPLETED"
    _only_lost_its_own(system.outcome(job_id), KILLED, rounds=4, most=1)
    assert "event=job_process_died signal=9 restart=1" in (system.kit(KILLED) / "console.log").read_text()


def test_a_restarted_site_is_back_in_the_same_job_and_has_lost_nothing(system: SystemUnderTest, tmp_path: Path) -> None:
    section = {"compression": {"up": STEPPED, "down": STEPPED}}
    job_id = system.submit(
        job_variant(tmp_path, "restarted-site", rounds=ROUNDS, epochs=EPOCHS, rounds_section=section)
    )
    system.wait_until_training(job_id, 2, [RESTARTED])
    system.running.stop(RESTARTED, abruptly=True)
    (wait,) = _waits(system, job_id, RESTARTED)
    assert wait.reason.startswith("works on it")
    state = system.state(RESTARTED, "restarted-site")
    kept = {path.name: path.read_bytes() for path in state.iterdir() if path.suffix == ".npz"}
    assert any(name.startswith("codec_memory") for name in kept)
    started = time.monotonic()
    system.running.start(RESTARTED)
    assert {path.name: path.read_bytes() for path in state.iterdir() if path.suffix == ".npz"} == kept
    wait_until(lambda: _trains(system, job_id, RESTARTED), 60, "the site trains again")
    logger.info("back in the job %.1f s after its start", time.monotonic() - started)
    assert system.wait(job_id)["status"] == "FINISHED:COMPLETED"
    outcome = system.outcome(job_id)
    _only_lost_its_own(outcome, RESTARTED, rounds=ROUNDS, most=1)
    assert "event=site_is_back site=hospital-d" in (system.kit("server.consortium.example") / "console.log").read_text()
