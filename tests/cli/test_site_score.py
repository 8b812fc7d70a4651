"""`fedvoxel site score`: a hospital finds out itself what a run's model is worth to it."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.federation.channels import StartModel
from fedvoxel.privacy.guarantee import PUBLIC_DATA
from fedvoxel.training.site_trainer import use_compute
from fedvoxel.training.trainer import Trainer
from fedvoxel.updates.weights_file import to_bytes
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.site import ComputeConfig, load_site_config
from tests.finished_job import RUN_KEY, SITE, blob_task, finished_job, hospital_kit, initial_weights


def score(kit: Path, job: Path, *more: object) -> int:
    return main(["site", "score", str(kit), str(job), *map(str, more)])


def trained(kit: Path, rounds: int = 4) -> dict:
    """Weights that have learnt the hospital's own training patients."""
    task, file = blob_task(epochs_per_round=5), kit / "local" / "fedvoxel_site.json"
    cases, _ = load_cases(load_site_config(file), "blobs", task.classes, task.plan, "training", file.parent)
    trainer = Trainer(task.training, task.classes, cases, SITE, use_compute(ComputeConfig()))
    for index in range(rounds):
        trainer.train_round(trainer.weights(), index, rounds)
    return trainer.weights()


def test_the_model_is_scored_beside_the_one_that_the_run_began_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    task, kit = blob_task(), hospital_kit(tmp_path, cases=24, split={"validation": 0.0, "test": 0.4})
    before = to_bytes(initial_weights(task))
    start = StartModel(run_key="public", sha256=hashlib.sha256(before).hexdigest(), privacy=PUBLIC_DATA)
    job = finished_job(tmp_path / "jobs", task, trained(kit), start)
    (job / "workspace" / "start_model.npz").write_bytes(before)

    assert score(kit, job, "--json", "--out", tmp_path / "scores.json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "scores.json").read_text())
    assert stat.S_IMODE((tmp_path / "scores.json").stat().st_mode) == 0o600
    assert (found["run_key"], found["site"]) == (RUN_KEY, SITE)
    after, was = (found[name]["classes"]["blob"]["dice_mean"] for name in ("model", "start"))
    assert after > 0.7 > was and found["gain"] == pytest.approx(after - was)
    assert found["gain_low"] > 0

    assert score(kit, job) == 0
    shown = capsys.readouterr().out
    assert "over the model that it began with" in shown and "outside the run's guarantee" in shown
    assert "case-" not in shown and "blob0" not in shown


def test_without_the_start_model_only_the_model_itself_is_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kit, job = hospital_kit(tmp_path), finished_job(tmp_path / "jobs", blob_task())
    assert score(kit, job, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["start"] is None and found["gain"] is None and found["model"]["cases"] > 0


def test_a_cohort_without_test_patients_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kit = hospital_kit(tmp_path, split={"validation": 0.0, "test": 0.0})
    assert score(kit, finished_job(tmp_path / "jobs", blob_task())) == 5
    assert "no test patient" in capsys.readouterr().err
