"""A search varies a job's training only, never a protected job; Katib's own types take what is written."""

import stat
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, JobError
from fedvoxel.federation.outcome import RoundRecord, ValidationScore
from fedvoxel.ops.pipelines import katib, search
from fedvoxel.ops.pipelines.kubeflow import Cluster
from fedvoxel.ops.pipelines.search import SearchSettings, check_values, do_trial, read_searched_job
from fedvoxel.records.atomic import write_json
from tests.blob_job import controller_of, executor_of, job_documents, write_job
from tests.kfp_environment import kfp_python, run_pipeline
from tests.ops.pipelines.settings_sample import write_settings
from tests.private_section import PRIVACY
from tests.sample_run import sample_outcome

RATE = "training.optimizer.learning_rate"
CLUSTER = Cluster("registry.example/fedvoxel-pipelines:0.2.0", "pipelines.data", "scientist-kit")
SPACE: dict[str, Any] = {RATE: {"minimum": 0.001, "maximum": 0.1}, "training.epochs_per_round": {"values": [1, 2]}}


def asked(parameters: Mapping[str, Any] = SPACE, **more: Any) -> SearchSettings:
    values = {"parameters": dict(parameters), "most_trials": 4, **more}
    return parse_config(SearchSettings, values, "the search")


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"run_key": {"values": ["a", "b"]}},
        {"privacy.noise_multiplier": {"minimum": 0.1, "maximum": 1.0}},
        {"cohort": {"values": ["a", "b"]}},
        {RATE: {"minimum": 0.1, "maximum": 0.1}},
        {RATE: {"minimum": "0.1", "maximum": 1}},
        {RATE: {"values": ["one"]}},
        {RATE: {"values": ["0.1; rm", "0.2"]}},
        {RATE: {"values": [True, False]}},
        {"training.a$(x)": {"values": [1, 2]}},
    ],
)
def test_what_no_search_may_vary_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="the search is not valid"):
        asked(parameters)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"most_trials": 1}, "most_failed is 2, and there are 1 trials at most"),
        ({"algorithm": "grid"}, "write values in place of a range"),
        ({"algorithm": "grid", "parameters": {"training.epochs_per_round": {"minimum": 1, "maximum": 3}}}, "3 points"),
        (
            {"algorithm": "grid", "parameters": {"training.epochs_per_round": {"values": [1, 2]}}},
            "the grid has 2 points",
        ),
    ],
)
def test_what_katib_does_not_take_is_refused_before_it_is_written(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        asked(**more)


def test_the_job_is_asked_whether_it_takes_the_values(tmp_path: Path) -> None:
    job = read_searched_job(write_settings(tmp_path))
    check_values(job, asked())
    for parameters in ({"training.optimizer.learning_rat": {"values": [1, 2]}}, {RATE: {"values": [0.1, -1]}}):
        with pytest.raises(ConfigError):
            check_values(job, asked(parameters))


def test_a_job_that_protects_somebody_is_not_searched(tmp_path: Path) -> None:
    documents = job_documents(batch_size=1, epochs_per_round=1)
    controller_of(documents)["args"]["rounds"] |= {"evaluate": False}
    for args in (controller_of(documents)["args"], executor_of(documents)["executor"]["args"]):
        args["privacy"] = PRIVACY
    write_job(tmp_path / "job", documents)
    with pytest.raises(ConfigError, match="paid from the hospitals' budgets"):
        do_trial(write_settings(tmp_path), tmp_path / "trials", {RATE: 0.1})
    assert not (tmp_path / "trials").exists()


class FakeSteps:
    """Takes the place of the steps: notes the job that it was given, and leaves the outcome it was told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **outcome: Any) -> None:
        self.done: list[tuple[str, str]] = []
        self._outcome = sample_outcome().model_copy(update=outcome)
        monkeypatch.setattr(search, "do_step", self.do_step)
        monkeypatch.setattr(search, "open_run", lambda *given: self)
        monkeypatch.setattr(search, "outcome_file", lambda run, job_id: Path(job_id))
        monkeypatch.setattr(search, "load_outcome", lambda path: self._outcome)

    def do_step(self, name: str, settings: Path, folder: Path, job: Path) -> None:
        text = (job / "app" / "config" / "config_fed_client.json").read_text()
        self.done.append((name, yaml.safe_load(text)["executors"][0]["executor"]["args"]["run_key"]))

    def needed(self, name: str) -> dict[str, str]:
        return {"job_id": name}


def _round(index: int, *dice: float | None) -> RoundRecord:
    scores = {f"hospital-{n}": ValidationScore(cases=5, dice={"blob": one}) for n, one in enumerate(dice)}
    return RoundRecord(round=index, seconds=1.0, validation=scores)


def test_a_trial_is_a_run_of_its_own_and_its_score_is_that_of_the_best_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = (_round(0, 0.2, 0.4), _round(1, 0.6, 0.8), _round(2, 0.1, 0.1))
    steps = FakeSteps(monkeypatch, rounds=rounds, best_round=1, finished=datetime(2026, 3, 3, tzinfo=UTC))
    settings = write_settings(tmp_path)
    assert do_trial(settings, tmp_path / "trials", {RATE: 0.1}) == pytest.approx(0.7)
    assert do_trial(settings, tmp_path / "trials", {RATE: 0.1}) == pytest.approx(0.7)
    do_trial(settings, tmp_path / "trials", {RATE: 0.2})
    assert [name for name, _ in steps.done[:3]] == ["check", "submit", "wait"]
    assert {stat.S_IMODE(place.stat().st_mode) for place in (tmp_path / "trials").iterdir()} == {0o700}
    keys = [key for name, key in steps.done if name == "submit"]
    assert keys[0] == keys[1] != keys[2] and all(key.startswith("blobs_trial_") for key in keys)


def test_a_trial_without_a_score_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for outcome in ({"rounds": (_round(0, None),), "best_round": 0}, {"rounds": (), "best_round": None}):
        FakeSteps(monkeypatch, **outcome)
        with pytest.raises(JobError, match="no hospital has validated a round"):
            do_trial(write_settings(tmp_path), tmp_path / "trials", {RATE: 0.1})


def test_a_trial_sets_nothing_but_training_and_rounds(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not run_key"):
        do_trial(write_settings(tmp_path), tmp_path / "trials", {"run_key": "mine"})


@pytest.fixture
def untyped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves Katib's types out, which the slow test asks."""
    monkeypatch.setattr(katib, "_check_types", lambda values: None)


@pytest.mark.usefixtures("untyped")
def test_trials_run_one_after_another_with_no_more_rights_than_they_need() -> None:
    made = yaml.safe_load(katib.experiment("rates", asked(goal=0.9), CLUSTER, "/pipeline/p.json", "/pipeline/trials"))
    spec = made["spec"]
    assert (spec["parallelTrialCount"], spec["maxTrialCount"], spec["maxFailedTrialCount"]) == (1, 4, 2)
    assert spec["objective"] == {"type": "maximize", "objectiveMetricName": "dice", "goal": 0.9}
    assert [(one["parameterType"], one["feasibleSpace"]) for one in spec["parameters"]] == [
        ("double", {"min": "0.001", "max": "0.1"}),
        ("categorical", {"list": ["1", "2"]}),
    ]
    trial = spec["trialTemplate"]["trialSpec"]["spec"]
    assert trial["backoffLimit"] == 0, "a trial that ended badly is not submitted again"
    pod = trial["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][-3] == f"{RATE}=${{trialParameters.training-optimizer-learning-rate}}"
    assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"] is True
    assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}
    assert container["image"] == CLUSTER.image


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "My search"}, "--name"),
        ({"settings": "/pipeline/p.json; curl x"}, "--settings"),
        ({"folder": "$(x)"}, "--folder"),
        ({"search": asked({"training.a_b": {"values": [1, 2]}, "training.a.b": {"values": [1, 2]}})}, "differ in"),
    ],
)
def test_what_a_shell_would_take_for_more_than_text_is_refused(given: dict[str, Any], message: str) -> None:
    words = {"name": "rates", "search": asked(), "cluster": CLUSTER, "settings": "/p.json", "folder": "/t"} | given
    with pytest.raises(ConfigError, match=message):
        katib.experiment(**words)


SPOILT = """
import sys
from fedvoxel.errors import ConfigError
from fedvoxel.ops.pipelines import katib
import yaml
values = yaml.safe_load(open(sys.argv[1]))
katib._check_types(values)
for key, value in (("maxTrialCount", "six"), ("maxTrialCounts", 6)):
    try:
        katib._check_types({**values, "spec": {**values["spec"], key: value}})
    except ConfigError as error:
        print(error)
"""


@pytest.mark.slow
def test_katibs_own_types_take_every_word_and_notice_a_wrong_one(tmp_path: Path) -> None:
    write_json(tmp_path / "search.json", {"parameters": SPACE, "most_trials": 4})
    out = tmp_path / "experiment.yaml"
    words = [write_settings(tmp_path), tmp_path / "search.json", "--name", "rates", "--image", CLUSTER.image]
    words += ["--claim", "pipelines", "--kit-claim", "scientist-kit", "--out", out]
    done = run_pipeline(tmp_path / "home", "search", *words)
    assert done.returncode == 0 and "at most 4 jobs" in done.stdout, done.stderr
    command = [str(kfp_python()), "-c", SPOILT, str(out)]
    source = str(Path(katib.__file__).parents[3])
    told = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": source}, timeout=120, check=True)
    assert told.stdout.splitlines() == [
        "Katib does not take the experiment (ValidationError)",
        "Katib does not know all words of the experiment",
    ]
