"""A run that begins with an earlier run's model, over real processes; another network is refused by the sites."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.export.publishing import Publisher
from fedvoxel.export.trust import read_trust
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.flare.run_files import GLOBAL_MODEL_FILE
from fedvoxel.records.identity import load_identity
from tests.export.package_sample import sample_package

from .conftest import SystemUnderTest, job_variant

SCIENTIST = "scientist@consortium.example"

DEEPER = {"name": "UNet", "arguments": {"channels": [4, 8, 16], "strides": [2, 2], "num_res_units": 0}}


def job_from(folder: Path, run_key: str, earlier: str | None, **changes: Any) -> Path:
    """Writes a job of one round, which begins with the last model of an earlier run, and returns its folder."""
    job = job_variant(folder, run_key, 1, rounds_section={"evaluate": False}, **changes)
    path = job / "app/config/config_fed_server.json"
    document = json.loads(path.read_text())
    document["workflows"][0]["args"]["start_from"] = earlier
    path.write_text(json.dumps(document))
    return job


@pytest.mark.slow
def test_a_run_begins_where_an_earlier_one_ended(system: SystemUnderTest, tmp_path: Path) -> None:
    earlier = system.run(job_from(tmp_path, "first_part", None))
    assert earlier.status == "finished" and earlier.model

    outcome = system.run(job_from(tmp_path, "second_part", "first_part"))
    assert outcome.status == "finished", outcome.reason
    assert outcome.start_from and outcome.start_from.sha256 == earlier.model.sha256
    parts = [np.load(system.state("server", run_key) / GLOBAL_MODEL_FILE) for run_key in ("first_part", "second_part")]
    assert parts[0].files == parts[1].files
    assert all(np.linalg.norm(parts[1][name] - parts[0][name]) < 1.0 for name in parts[0].files), (
        "it went on from there"
    )

    other = system.submit(job_from(tmp_path, "other_network", "first_part", training={"network": DEEPER}))
    system.wait(other)
    assert "names and shapes of the network" in str(system.outcome(other).reason)

    never = system.submit(job_from(tmp_path, "from_nowhere", "never_run"))
    system.wait(never)
    assert "no run never_run has ended on this server" in str(system.outcome(never).reason)


def released(folder: Path, system: SystemUnderTest, outcome: RunOutcome) -> None:
    """Publishes a package that says it is of a run's last model; its network is a sample's."""
    assert outcome.model is not None
    origin = outcome.model_dump(
        mode="json", include={"job_name", "job_id", "run_key", "status", "started", "finished", "rounds_committed"}
    )
    origin |= {"model_sha256": outcome.model.sha256, "round": outcome.rounds_committed - 1, "tested": False}
    said = {"schema_version": 1, "origin": origin | {"outcome_sha256": "0" * 64, "audit_head": None}}
    members = {"provenance.json": json.dumps(said | {"privacy": {"start_from": None}}).encode()}
    signer = load_identity(system.kit(SCIENTIST) / "startup")
    made = sample_package(folder, members=members, identity=signer, now=datetime.now(UTC))
    publisher = Publisher(folder / "releases", signer, read_trust(system.kit(SCIENTIST)), folder / "lead.json")
    publisher.publish(made.path, "released", "good", datetime.now(UTC))


@pytest.mark.slow
def test_a_plan_trains_again_from_the_model_that_is_released(system: SystemUnderTest, tmp_path: Path) -> None:
    earlier = system.run(job_from(tmp_path, "planned", None))
    assert earlier.status == "finished" and earlier.model
    released(tmp_path, system, earlier)
    plan = {"schema_version": 1, "model": "hippocampus", "job": "../planned", "kit": str(system.kit(SCIENTIST))}
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "retraining.json").write_text(json.dumps(plan | {"releases": "../releases"}))
    # As the timer starts it: in a process of its own, beside the session of this one.
    command = [sys.executable, "-m", "fedvoxel.cli.main", "job", "retrain", str(tmp_path / "plan"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    system.jobs.append(said["job_id"])
    system.wait(said["job_id"])
    outcome = system.outcome(said["job_id"])
    assert outcome.status == "finished" and outcome.run_key == said["run_key"] != "planned"
    assert outcome.start_from and outcome.start_from.sha256 == earlier.model.sha256, "the released model"
