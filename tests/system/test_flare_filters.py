"""FLARE's SVT filter in a job, wrapped, over real processes: the outcome says what it is worth."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.governance.job_filters import WRAPPED

from .conftest import SITES, SystemUnderTest, job_variant

SVT, _ = WRAPPED
ROUNDS = 2


def filtered_job(folder: Path, run_key: str, path: str, **args: Any) -> Path:
    """Writes a small job with one filter on what its sites send of their rounds, and returns its folder."""
    job = job_variant(folder, run_key, ROUNDS, rounds_section={"evaluate": False, "min_sites": 2})
    file = job / "app/config/config_fed_client.json"
    document = json.loads(file.read_text())
    document["task_result_filters"] = [{"tasks": ["train"], "filters": [{"path": path, "args": args}]}]
    file.write_text(json.dumps(document))
    return job


@pytest.mark.slow
def test_the_outcome_says_what_flares_filter_is_worth(system: SystemUnderTest, tmp_path: Path) -> None:
    outcome = system.run(filtered_job(tmp_path, "svt_run", SVT, fraction=0.5, epsilon=2.0, epsilon_release=30.0))
    assert outcome.status == "finished", outcome.reason
    for number, one in enumerate(outcome.rounds, start=1):
        assert set(one.contributed) == set(one.filters) == set(SITES)
        for note in one.filters.values():
            assert note.startswith(f"FLARE SVTPrivacy: epsilon 32 this round, {32 * number} so far in this job")
            assert "no formal guarantee" in note
    assert outcome.guarantee is None and outcome.privacy.startswith("no formal guarantee (hospital-a: FLARE SVTPrivacy")
    assert "job filters" in [channel.name for channel in outcome.channels if channel.status == "open"]


@pytest.mark.slow
def test_a_wrong_argument_sends_nothing_and_is_said(system: SystemUnderTest, tmp_path: Path) -> None:
    outcome = system.run(filtered_job(tmp_path, "svt_wrong", SVT, gamma=0))
    assert outcome.status == "failed" and not any(one.contributed for one in outcome.rounds)
    assert all("gamma" in reason for reason in (outcome.rounds[0].missing | outcome.rounds[0].refused).values())
