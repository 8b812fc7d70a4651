"""Baselines: a pooled model of one site is that site's local model, files are private, and cases are paired."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import CohortError, ConfigError, JobError
from fedvoxel.evaluation.baseline import load_baseline
from fedvoxel.evaluation.experiment import SiteCases, load_site_cases, run_baseline
from fedvoxel.evaluation.job_result import open_job_result
from fedvoxel.evaluation.make_baseline import make_baseline
from fedvoxel.evaluation.trained_job import TrainedJob, read_trained_job
from fedvoxel.evaluation.unseen import unseen_picture
from fedvoxel.federation.outcome import ModelFile, write_outcome
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.training.setup import TrainingTask
from fedvoxel.updates.weights_file import save_weights
from fedvoxel.volumes.site import ComputeConfig
from tests.sample_run import sample_outcome
from tests.training.conftest import training_section, write_site

ARGUMENTS: dict[str, Any] = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": training_section()}
COMPUTE = ComputeConfig(threads=1, device="cpu")


@pytest.fixture
def task() -> TrainingTask:
    return parse_config(TrainingTask, ARGUMENTS, "the test's task")


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A hospital's kit with blobs."""
    local = tmp_path / "hospital-a" / "local"
    local.mkdir(parents=True)
    write_site(local)
    return local.parent


@pytest.fixture
def result(tmp_path: Path, task: TrainingTask) -> Path:
    """A downloaded job whose model is the untrained network."""
    workspace = tmp_path / "job" / "workspace"
    config = workspace / "app_server" / "config" / "config_fed_client.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"executors": [{"executor": {"args": ARGUMENTS | {"run_key": "test"}}}]}))
    save_weights(workspace / "best_model.npz", get_weights(build_network(task.training.network, 2, 1)))
    outcome = sample_outcome().model_copy(
        update={
            "rounds_planned": 2,
            "rounds_committed": 2,
            "best_model": ModelFile(file="best_model.npz", sha256="0" * 64),
        }
    )
    write_outcome(outcome, workspace / "outcome.json")
    return workspace.parent


def _job(task: TrainingTask) -> TrainedJob:
    return TrainedJob(task, 1, get_weights(build_network(task.training.network, 2, 1)))


def test_a_local_baseline_pairs_the_federated_model_on_the_same_cases(result: Path, kit: Path) -> None:
    path = make_baseline("local", result, [kit], None)
    baseline = load_baseline(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert (baseline.kind, baseline.site, baseline.epochs) == ("local", "hospital-a", 2)
    own, federated = baseline.scores("hospital-a"), baseline.federated_scores("hospital-a")
    assert len(own) >= 1
    assert [score.case for score in own] == [score.case for score in federated]


def test_pooled_training_sees_every_sites_cases_and_is_reproducible(kit: Path, task: TrainingTask) -> None:
    cases = load_site_cases(kit / "local" / "fedvoxel_site.json", task)
    sites = {"hospital-a": cases, "hospital-b": SiteCases(cases.training[:2], cases.test)}
    first, again = (run_baseline("pooled", _job(task), sites, COMPUTE) for _ in range(2))
    assert first.per_site == again.per_site
    assert set(first.per_site) == {"hospital-a", "hospital-b"}
    assert set(first.federated_per_site) == {"hospital-a", "hospital-b"}


def test_a_site_that_only_evaluates_has_no_model_of_its_own(kit: Path, task: TrainingTask) -> None:
    cases = load_site_cases(kit / "local" / "fedvoxel_site.json", task)
    with pytest.raises(CohortError, match="no training case"):
        run_baseline("local", _job(task), {"hospital-a": SiteCases((), cases.test)}, COMPUTE)


def test_a_result_of_another_kind_of_job_is_refused(result: Path) -> None:
    config = result / "workspace" / "app_server" / "config" / "config_fed_client.json"
    config.write_text(json.dumps({"executors": []}))
    with pytest.raises(ConfigError, match="names no executor"):
        read_trained_job(open_job_result(result))


def test_a_run_without_a_model_is_refused(result: Path) -> None:
    outcome = open_job_result(result).outcome.model_copy(update={"best_model": None, "model": None})
    write_outcome(outcome, result / "workspace" / "outcome.json")
    with pytest.raises(JobError, match="no model"):
        read_trained_job(open_job_result(result))


def test_the_picture_shows_one_unseen_case_of_each_hospital(result: Path, kit: Path, task: TrainingTask) -> None:
    job = read_trained_job(open_job_result(result))
    cases = load_site_cases(kit / "local" / "fedvoxel_site.json", task)
    picture = unseen_picture(task, job.model, {"hospital-a": cases, "hospital-b": SiteCases(cases.training, ())})
    assert picture is not None
    assert picture.png.startswith(b"\x89PNG")
    assert unseen_picture(task, job.model, {"hospital-b": SiteCases(cases.training, ())}) is None


@pytest.mark.parametrize("section", [{"proximal_mu": 1.0}, {"personal": {"name": "ditto"}}])
def test_whoever_trains_alone_trains_without_what_is_about_the_others(section, kit: Path, task: TrainingTask) -> None:
    changed = parse_config(TrainingTask, ARGUMENTS | {"training": training_section(**section)}, "the test's task")
    model = get_weights(build_network(task.training.network, 2, 1))
    cases = {"hospital-a": load_site_cases(kit / "local" / "fedvoxel_site.json", task)}
    one, other = (run_baseline("local", TrainedJob(job, 2, model), cases, COMPUTE) for job in (task, changed))
    assert one.per_site == other.per_site


def test_a_model_that_is_whole_at_no_site_but_its_own_is_not_compared(kit: Path) -> None:
    training = training_section(site_local=["*bias"])
    changed = parse_config(TrainingTask, ARGUMENTS | {"training": training}, "the test's task")
    cases = {"hospital-a": load_site_cases(kit / "local" / "fedvoxel_site.json", changed)}
    with pytest.raises(ConfigError, match="leaves some layers to each hospital"):
        run_baseline("local", TrainedJob(changed, 2, {}), cases, COMPUTE)
