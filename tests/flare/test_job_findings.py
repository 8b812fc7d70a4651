"""What a check of a job says about privacy before anyone is asked."""

from pathlib import Path
from typing import Any

import pytest

from fedvoxel.flare.job_findings import examine
from fedvoxel.governance.finding import Finding
from tests.blob_job import META, controller_of, executor_of, job_documents, write_job
from tests.private_section import PRIVACY


def privacy_finding(folder: Path, privacy: Any = PRIVACY, evaluate: bool = False, **server: Any) -> Finding:
    job = job_documents(batch_size=1, epochs_per_round=1)
    controller_of(job)["args"] |= {"privacy": privacy} | server
    controller_of(job)["args"]["rounds"] |= {"evaluate": evaluate}
    executor_of(job)["executor"]["args"]["privacy"] = privacy
    (found,) = [finding for finding in examine(write_job(folder / "job", job)).findings if finding.topic == "privacy"]
    assert "\n" not in found.message
    return found


def test_the_claim_is_said(tmp_path: Path) -> None:
    found = privacy_finding(tmp_path)
    assert found.level == "ok" and found.message.startswith("(ε = ") and "each patient" in found.message
    found = privacy_finding(tmp_path, start_from="public_run")
    assert "provided that run public_run" in found.message
    found = privacy_finding(tmp_path, None, evaluate=True)
    assert (found.level, found.message) == ("ok", "no formal guarantee")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluate": True}, "validation scores: rounds.evaluate has sites send scores"),
        ({"plan_source": "statistics"}, "preprocessing plan: "),
        ({"plan_source": None}, 'the job does not say where it comes from: "plan_source": "fixed"'),
        ({"choices": None}, 'the job does not say how they were chosen: "choices": "public"'),
        ({"privacy": PRIVACY | {"noise_multiplier": None}}, "updates: they leave the sites without noise"),
    ],
)
def test_a_claim_that_falls_is_a_warning_that_names_the_channel(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    found = privacy_finding(tmp_path, **changes)
    assert found.level == "warning" and "no formal guarantee (open: " in found.message and said in found.message


def test_a_network_that_mixes_patients_is_an_error_in_a_job_that_protects_them(tmp_path: Path) -> None:
    network = {"name": "UNet", "arguments": {"channels": [4, 8], "strides": [2], "norm": "batch"}}
    job = job_documents(batch_size=1, epochs_per_round=1, network=network)
    controller_of(job)["args"]["rounds"] |= {"evaluate": False}
    levels = []
    for privacy in (None, PRIVACY):
        controller_of(job)["args"]["privacy"] = executor_of(job)["executor"]["args"]["privacy"] = privacy
        report = examine(write_job(tmp_path / "job", job))
        (found,) = [finding for finding in report.findings if finding.topic == "network"]
        levels.append(found.level)
    assert levels == ["ok", "error"] and "BatchNorm3d mixes patients" in found.message


def test_a_promise_that_is_not_kept_is_an_error_that_says_what_is_given(tmp_path: Path) -> None:
    job = job_documents()
    job[META]["promises"] = {"unit": "patient", "epsilon": 8, "delta": 1e-3}
    report = examine(write_job(tmp_path / "job", job))
    assert report.content is None
    (found,) = [finding for finding in report.findings if finding.level == "error"]
    assert "gives is: no formal guarantee" in found.message
