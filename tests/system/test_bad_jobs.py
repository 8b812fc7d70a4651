"""A job that cannot be run ends with one clear reason, and costs neither the sites nor the next job anything."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from .conftest import SITES, SystemUnderTest, describe_cohort, job_variant

TRAINING_CASES = 5


def _explain(system: SystemUnderTest, job: Path) -> str:
    """Runs a job that must fail and returns the reason that its outcome gives, the same for every site."""
    outcome = system.run(job)
    assert (outcome.status, outcome.rounds_committed, outcome.model) == ("failed", 0, None)
    assert outcome.reason and all(f"{site}: " in outcome.reason for site in SITES)
    return outcome.reason


def test_an_unknown_network_is_named_with_the_nearest(system: SystemUnderTest, tmp_path: Path) -> None:
    job = job_variant(tmp_path, "unknown_network", rounds=2, training={"network": {"name": "UNett"}})
    reason = _explain(system, job)
    assert "UNett" in reason and "did you mean UNet" in reason


@pytest.mark.slow
def test_what_the_sites_do_not_have_is_said(system: SystemUnderTest, tmp_path: Path) -> None:
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "unknown_cohort": ({"cohort": "liver"}, "this site has no cohort 'liver'; its site file describes: hippocampus"),
        "wrong_classes": ({"classes": ["anterior", "posteror"]}, "expected classes among anterior, posterior"),
        "misspelt_key": ({"training": {"epoch_per_round": 2}}, "training.epoch_per_round: Extra inputs"),
    }
    for run_key, (changes, reason) in wrong.items():
        assert _explain(system, job_variant(tmp_path, run_key, rounds=2, **changes)).count(reason) == len(SITES)


@pytest.mark.slow
def test_code_in_a_job_is_refused(system: SystemUnderTest, tmp_path: Path) -> None:
    job = job_variant(tmp_path, "with_code", rounds=1)
    (job / "app" / "custom").mkdir()
    (job / "app" / "custom" / "code.py").write_text("print('hello')\n")
    job_id = system.submit(job)
    meta = system.wait(job_id)
    print(meta)
    assert 0


@pytest.mark.slow
def test_a_class_that_is_not_allowed_is_refused(system: SystemUnderTest, tmp_path: Path) -> None:
    job = job_variant(tmp_path, "not_allowed", rounds=1)
    path = job / "app" / "config" / "config_fed_client.json"
    config = json.loads(path.read_text())
    config["executors"][0]["executor"] = {"path": "nvflare.app_common.np.np_trainer.NPTrainer", "args": {}}
    path.write_text(json.dumps(config))
    job_id = system.submit(job)
    meta = system.wait(job_id)
    print(meta)
    print(list(system.download(job_id).iterdir()))
    assert 0
