"""A job that cannot be run ends with one clear reason, and costs neither the sites nor the next job anything."""

import json
import re
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from fedvoxel.volumes.split import SplitFractions, split_of

from .conftest import SITES, SystemUnderTest, job_variant, trainers_of
from .tiny_cohorts import WANTED, describe_cohort


def _explain(system: SystemUnderTest, job_id: str) -> str:
    """Waits for a job that must fail and returns the reason in its outcome, which names every site."""
    system.wait(job_id)
    outcome = system.outcome(job_id)
    assert (outcome.status, outcome.rounds_committed, outcome.model) == ("failed", 0, None)
    assert outcome.reason and all(f"{site}: " in outcome.reason for site in SITES)
    return outcome.reason


@pytest.mark.slow
def test_an_unknown_network_is_named_with_the_nearest(system: SystemUnderTest, tmp_path: Path) -> None:
    job = job_variant(tmp_path, "unknown_network", rounds=2, training={"network": {"name": "UNett"}})
    assert "did you mean UNet" in _explain(system, system.submit(job))


@pytest.mark.slow
def test_what_the_sites_do_not_have_is_said(system: SystemUnderTest, tmp_path: Path) -> None:
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "unknown_cohort": (
            {"cohort": "liver"},
            "this site's privacy policy says nothing about cohort 'liver'",
        ),
        "wrong_classes": ({"classes": ["anterior", "posteror"]}, "expected classes among anterior, posterior"),
        "misspelt_key": ({"training": {"epoch_per_round": 2}}, "training.epoch_per_round: Extra inputs"),
    }
    jobs = {key: system.submit(job_variant(tmp_path, key, rounds=2, **changes)) for key, (changes, _) in wrong.items()}
    for key, (_, reason) in wrong.items():
        assert _explain(system, jobs[key]).count(reason) == len(SITES)


@pytest.mark.slow
def test_code_in_a_job_is_refused(system: SystemUnderTest, tmp_path: Path) -> None:
    job = job_variant(tmp_path, "with_code", rounds=1)
    (job / "app" / "custom").mkdir()
    (job / "app" / "custom" / "code.py").write_text("import os\n")
    meta = system.wait(system.submit(job))
    assert meta["status"] == "FINISHED:FAILED_TO_RUN"
    assert meta["job_deploy_detail"] == ["server: BYOC not permitted"]


@pytest.mark.slow
def test_a_class_that_the_sites_do_not_allow_is_refused(system: SystemUnderTest, tmp_path: Path) -> None:
    job = job_variant(tmp_path, "not_allowed", rounds=1)
    path = job / "app" / "config" / "config_fed_client.json"
    config = json.loads(path.read_text())
    config["executors"][0]["executor"] = {"path": "nvflare.app_common.np.np_trainer.NPTrainer", "args": {}}
    path.write_text(json.dumps(config))
    job_id = system.submit(job)
    assert system.wait(job_id)["status"] == "FINISHED:EXECUTION_EXCEPTION"
    outcome = system.outcome(job_id)
    assert outcome.status == "aborted" and outcome.reason and "allow-list" in outcome.reason
    for site in SITES:
        log = (system.kit(site) / job_id / "error_log.txt").read_text()
        assert "NPTrainer' at config path 'executors.#1.executor' is not in allow_list" in log
        assert trainers_of(system.kit(site)) == []


@pytest.mark.slow
def test_a_class_that_the_server_does_not_allow_is_refused(system: SystemUnderTest, tmp_path: Path) -> None:
    job = job_variant(tmp_path, "not_allowed_here", rounds=1)
    path = job / "app" / "config" / "config_fed_server.json"
    config = json.loads(path.read_text())
    config["workflows"][0] |= {"path": "nvflare.app_common.workflows.fedavg.FedAvg", "args": {}}
    path.write_text(json.dumps(config))
    job_id = system.submit(job)
    assert system.wait(job_id)["status"] != "FINISHED:COMPLETED"
    log = (system.download(job_id) / "error_log.txt").read_text()
    assert "fedavg.FedAvg' at config path 'workflows.#1' is not in allow_list" in log


SPOILT, UNWRITABLE = "hospital-b", "hospital-c"


def _spoilt_rows(good: str, folder: Path) -> dict[str, str]:
    """Returns a table row for each way in which a scan can be unusable, by the reason that the site gives."""
    _, _, image, label = good.split(",")
    reasons = ("truncated", "non_finite", "unexpected_class", "missing_label")
    for reason in reasons:
        shutil.copy(image, folder / f"{reason}_image.nii.gz")
        shutil.copy(label, folder / f"{reason}_label.nii.gz")
    (folder / "truncated_image.nii.gz").write_bytes(Path(image).read_bytes()[:2000])
    _set_voxel(folder / "non_finite_image.nii.gz", np.float32, np.nan)
    _set_voxel(folder / "unexpected_class_label.nii.gz", np.uint8, 7)
    (folder / "missing_label_label.nii.gz").unlink()
    return {reason: f"{folder / reason}_image.nii.gz,{folder / reason}_label.nii.gz" for reason in reasons}


def _set_voxel(path: Path, kind: type, value: float) -> None:
    volume = nibabel.load(path)
    voxels = np.asarray(volume.dataobj).astype(kind)
    voxels[5, 5, 5] = value
    nibabel.save(nibabel.Nifti1Image(voxels, volume.affine), path)


def _training_names() -> Iterator[str]:
    return (name for index in count() if split_of(name := f"Mustermann{index}", SplitFractions()) == "training")


@pytest.mark.slow
def test_bad_scans_and_a_bad_disk_cost_their_own_site_only(
    system: SystemUnderTest, tmp_path: Path, cohort_rows: dict[str, list[str]]
) -> None:
    for site in SITES:
        rows = list(cohort_rows[site])
        if site == SPOILT:
            spoilt = _spoilt_rows(rows[0], tmp_path)
            rows += [f"{name},{name},{files}" for name, files in zip(_training_names(), spoilt.values(), strict=False)]
        describe_cohort(system.kit(site), "spoilt", rows)
    state = system.state(UNWRITABLE, "spoilt")
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text("a file where the run's folder should be")
    job_id = system.submit(job_variant(tmp_path, "spoilt", rounds=2, cohort="spoilt"))
    assert system.wait(job_id)["status"] == "FINISHED:COMPLETED"
    state.unlink()  # other tests look at what lies in this kit
    outcome = system.outcome(job_id)
    others = set(SITES) - {UNWRITABLE}
    assert (outcome.status, outcome.rounds_committed, set(outcome.test)) == ("finished", 2, others)
    for record in outcome.rounds:
        assert record.contributed == dict.fromkeys(others, WANTED["training"])
        assert record.missing == {UNWRITABLE: "the site could not read or write its files (File exists)"}
    log = (system.kit(SPOILT) / job_id / "trainer.log").read_text()
    assert sorted(re.findall(r"event=case_refused split=training case=case-\w+ reason=(\w+)", log)) == sorted(spoilt)
    assert "Mustermann" not in log
