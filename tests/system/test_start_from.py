"""A run that begins with an earlier run's model, over real processes; another network is refused by the sites."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.flare.run_files import GLOBAL_MODEL_FILE

from .conftest import SystemUnderTest, job_variant

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
