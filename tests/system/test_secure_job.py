"""Secure aggregation over real processes: the plain job's model, no update of any site, and a site lost in a round."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.federation.line import LineConfig, line_of
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.federation.site_work import SiteWork
from fedvoxel.federation.traffic import PIECE_HEAD_BYTES
from fedvoxel.flare.job_kinds import understand
from fedvoxel.flare.job_plan import plan_job
from fedvoxel.flare.run_files import GLOBAL_MODEL_FILE
from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.privacy.in_sums import InSums
from fedvoxel.privacy.policy import NoBudget, grant
from fedvoxel.training.config import TrainingConfig
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.updates.update import Arrays

from .conftest import ROOT, SITES, SystemUnderTest, job_variant

pytestmark = pytest.mark.slow

EXAMPLE = ROOT / "jobs" / "hippocampus_secure"
LINE = line_of(LineConfig(mbit=4, rtt_ms=60))
TASKS = list(read_job_folder(EXAMPLE).executor.tasks)


def secure_job(folder: Path, run_key: str, rounds: int, **changes: Any) -> Path:
    """A small variant with the example's tasks and setting."""
    section = {"secure_aggregation": {"bits": 16, "dropouts": 1}, "max_cases_per_site": 1000, "min_sites": 3}
    job = job_variant(folder, run_key, rounds, rounds_section=section, **changes)
    client = job / "app/config/config_fed_client.json"
    said = json.loads(client.read_text())
    said["executors"][0]["tasks"] = TASKS
    client.write_text(json.dumps(said))
    return job


def _model(system: SystemUnderTest, run_key: str) -> np.ndarray:
    return _flat(dict(np.load(system.state("server", run_key) / GLOBAL_MODEL_FILE)))


def _first_model(job: Path) -> Arrays:
    """The weights that the job's seed draws."""
    args = read_job_folder(job).executor.executor.args
    training = parse_config(TrainingConfig, args["training"], "the job's training section")
    return get_weights(build_network(training.network, len(args["classes"]) + 1, training.seed))


def _log(system: SystemUnderTest, outcome: RunOutcome) -> str:
    return (system.kit("hospital-a") / outcome.job_id / "log.txt").read_text(errors="replace")


def _flat(model: Arrays) -> np.ndarray:
    return np.concatenate([model[name].reshape(-1) for name in sorted(model)])


def test_the_sum_gives_the_plain_jobs_model_and_tells_nothing_else(system: SystemUnderTest, tmp_path: Path) -> None:
    job = secure_job(tmp_path, "secure", 2)
    outcome = system.run(job)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 2), outcome.reason
    for record in outcome.rounds:
        assert record.contributed == dict.fromkeys(SITES, 1) and not record.loss
    system.run(job_variant(tmp_path, "in_the_clear", 2))
    masked, clear = _model(system, "secure"), _model(system, "in_the_clear")
    moved = np.linalg.norm(clear - _flat(_first_model(tmp_path / "in_the_clear")))
    assert np.linalg.norm(masked - clear) < 0.02 * moved
    values = masked.size
    first, second = (record.bytes_up for record in outcome.rounds)
    assert first == 4 * (21 + 4 * values) and second == 4 * (21 + 2 * values)
    planned = plan_job(understand(read_job_folder(job)), LINE, len(SITES), SiteWork())
    trained = [phase.step for phase in planned.transfer.phases if phase.step.trains]
    heads = PIECE_HEAD_BYTES * len(_first_model(job))
    for step, record in zip(trained, outcome.rounds, strict=True):
        assert len(SITES) * (step.up.size_bytes - PIECE_HEAD_BYTES) == record.bytes_up
        assert len(SITES) * (step.down.size_bytes - step.down.said_bytes - heads) == record.bytes_down
    asked = Counter(re.findall(r"task_name=(secure_\w+), task_id=\S+\].*invoking task executor", _log(system, outcome)))
    around = {phase.step.name: phase.step.times for phase in planned.transfer.phases if phase.step.around}
    assert {task.replace("_", " "): times for task, times in asked.items()} == around


def test_a_site_lost_in_the_middle_of_a_round_is_recovered_from(system: SystemUnderTest, tmp_path: Path) -> None:
    job_id = system.submit(secure_job(tmp_path, "secure_lost", 4, epochs=15))
    system.wait_until_training(job_id, 1, ["hospital-d"])
    system.running.stop("hospital-d", abruptly=True)
    system.wait(job_id)
    outcome = system.outcome(job_id)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 4), outcome.reason
    assert set(outcome.rounds[0].contributed) == set(SITES)
    for record in outcome.rounds[1:]:
        assert set(record.contributed) == set(SITES) - {"hospital-d"}
        assert record.missing == {"hospital-d": "lost its connection"}


def test_a_hospital_that_wants_sums_lets_nothing_else_leave(system: SystemUnderTest, tmp_path: Path) -> None:
    local = system.kit("hospital-a") / "local"
    grant(local, "hippocampus", NoBudget(in_sums=InSums(least_sites=3, partners=SITES)))
    try:
        plain = system.run(job_variant(tmp_path, "plain_refused", 1))
        secure = system.run(secure_job(tmp_path, "secure_taken", 1))
    finally:
        grant(local, "hippocampus", NoBudget())
    assert "masked only" in plain.rounds[0].missing["hospital-a"]
    assert set(secure.rounds[0].contributed) == set(SITES), secure.reason
