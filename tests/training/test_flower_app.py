"""A real Flower app in a real trainer process: what leaves is a difference, or nothing; a bad app costs one task.

Where the process is not what a test is about, a site's work is asked in this one, which spares seconds of imports.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, TrainingError, UpdateError
from fedvoxel.training.messages import Message
from fedvoxel.training.process import TrainerDiedError, TrainerProcess
from fedvoxel.training.setup import TrainerSetup, TrainingTask
from fedvoxel.training.worker import SiteWork, _trainer
from fedvoxel.updates.weights_file import load_weights
from fedvoxel.volumes.exclusions import Exclusions
from fedvoxel.volumes.site import load_site_config
from tests.flower_apps import HONEST, MODULE, WHOLE, needs_flower, write_app

from .conftest import training_section, write_site

pytestmark = [pytest.mark.slow, needs_flower]

PATIENT = "Mueller^Anna"
CONTROL = "reply(update=record(step), metrics=MetricRecord(metrics))"
Open = Callable[..., TrainerProcess]
Here = Callable[..., SiteWork]


def flower_task(**changes: Any) -> TrainingTask:
    section = {key: training_section()[key] for key in ("network", "sampling", "inference", "seed")}
    section |= {"flower": {"app": "blobs-app", "run_config": {"learning-rate": 0.1, "local-epochs": 2}}}
    said = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": section} | changes
    return parse_config(TrainingTask, said, "the test's task")


@pytest.fixture
def describe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainerSetup]:
    """Installs an app that is what `body` makes it, and puts it on the list of a site with blobs."""
    local = tmp_path / "kit" / "local"
    local.mkdir(parents=True)
    site_file = write_site(local)

    def described(body: str = HONEST, mods: str = "", listed: str = f"{MODULE}:app", **task: Any) -> TrainerSetup:
        apps = write_app(tmp_path / "installed", body, mods)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(apps), os.environ.get("PYTHONPATH", "")]))
        monkeypatch.syspath_prepend(apps)
        monkeypatch.delitem(sys.modules, MODULE, raising=False)
        site = json.loads(site_file.read_text()) | {"flower_apps": {"blobs-app": listed}}
        site_file.write_text(json.dumps(site))
        return TrainerSetup(
            task=flower_task(**task), site="hospital-a", site_file=str(site_file), state_folder=str(tmp_path)
        )

    return described


@pytest.fixture
def open_site(tmp_path: Path, describe: Callable[..., TrainerSetup]) -> Iterator[Open]:
    """Makes the trainer process of such a site."""
    made: list[TrainerProcess] = []

    def opened(*args: Any, **kwargs: Any) -> TrainerProcess:
        made.append(TrainerProcess(describe(*args, **kwargs), tmp_path / "trainer.log", threads=1))
        return made[-1]

    yield opened
    for process in made:
        process.end()


@pytest.fixture
def open_here(describe: Callable[..., TrainerSetup]) -> Callable[..., SiteWork]:
    """Makes such a site's work in this process."""

    def opened(*args: Any, **kwargs: Any) -> SiteWork:
        work = _trainer(describe(*args, **kwargs))
        work.prepare()
        return work

    return opened


def ask(site: TrainerProcess | SiteWork, header: dict[str, Any], arrays: Any = None) -> Message:
    message = Message(header, arrays or {})
    if isinstance(site, TrainerProcess):
        return site.ask(message, lambda: False, lambda header: None)
    return site.answer(message, lambda step, steps, loss: None)


def train(process: TrainerProcess | SiteWork, folder: Path, **changes: Any) -> tuple[Any, Message]:
    model = dict(ask(process, {"command": "initialize"}).arrays)
    header = {"command": "train", "round": 0, "num_rounds": 3, "validate": True, "keep_as": str(folder / "local.npz")}
    return model, ask(process, header | {"correction": None, "accepted": None} | changes, model)


def test_what_an_app_answers_leaves_as_our_own_trainers_update_does(open_site: Open, tmp_path: Path) -> None:
    process = open_site()
    model, answer = train(process, tmp_path)
    assert set(answer.header) == {"event", "case_count", "validation", "loss", "refused_cases", "seconds"}
    assert (answer.header["event"], answer.header["loss"]) == ("result", 0.5) and answer.header["case_count"] >= 5
    assert 0 <= answer.header["validation"]["dice"]["blob"] <= 1
    assert {name: array.shape for name, array in answer.arrays.items()} == {n: a.shape for n, a in model.items()}
    assert all(np.array_equal(array, np.full_like(array, 0.01)) for array in answer.arrays.values())
    local = load_weights(tmp_path / "local.npz")
    assert all(np.allclose(local[name], model[name] + np.float32(0.01)) for name in model)
    scores = ask(process, {"command": "evaluate", "split": "test"}, local).header["scores"]
    assert scores and all(row["case"].startswith("case-") for row in scores)


def test_an_unchanged_app_is_refused_and_is_taken_with_the_mod(open_here: Here, tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match=r"full weights: the Flower app answered with the record 'arrays'.*send_upd"):
        train(open_here(WHOLE), tmp_path)
    model, answer = train(open_here(WHOLE, mods="mods=[send_update]"), tmp_path)
    assert all(np.allclose(array, 0.01, atol=1e-6) for array in answer.arrays.values())
    assert set(answer.arrays) == set(model)


BATCHES = "local = local | {'norm.num_batches_tracked': np.array(7)}\n"


def test_the_mod_keeps_counters_back_and_refuses_what_does_not_fit(open_here: Here, tmp_path: Path) -> None:
    _, answer = train(open_here(BATCHES + WHOLE, mods="mods=[send_update]"), tmp_path)
    assert "norm.num_batches_tracked" not in answer.arrays
    less = "local.popitem()\n" + WHOLE
    with pytest.raises(TrainingError, match=r"failed \(UpdateError\)"):
        train(open_here(less, mods="mods=[send_update]"), tmp_path)
    twice = "return reply(arrays=record(local), more=record(local), metrics=MetricRecord(metrics))"
    with pytest.raises(TrainingError, match=r"failed \(UpdateError\)"):
        train(open_here(twice, mods="mods=[send_update]"), tmp_path)


def broken(change: str) -> str:
    return f"{change}\nreturn {CONTROL}"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return reply(update=record(local), metrics=MetricRecord(metrics))", "full weights: expected the difference"),
        ("return reply(update=record(weights), metrics=MetricRecord(metrics))", "full weights"),
        ("return reply(arrays=record(step), metrics=MetricRecord(metrics))", "full weights"),
        (broken("step = {name: array * np.nan for name, array in step.items()}"), "non-finite values"),
        (broken("step = {name: array[..., :1] for name, array in step.items()}"), "wrong shape"),
        (broken("step = {'Mueller^Anna': array for array in step.values()}"), "holds 1 others"),
        (broken("step = {name: array.astype(int) for name, array in step.items()}"), "wrong type"),
        (broken("del metrics['num-examples']"), "lacks 'num-examples'"),
        (broken("metrics['num-examples'] = 1000"), "got 1000; cases count"),
        (broken("metrics['train_loss'] = float('inf')"), "expected a finite number"),
        ("return reply(update=record(step))", "lacks 'num-examples'"),
        ("return reply(metrics=MetricRecord(metrics))", "one ArrayRecord.*got 0"),
    ],
)
def test_what_is_no_update_does_not_leave_the_process(open_here: Here, tmp_path: Path, body: str, reason: str) -> None:
    with pytest.raises(UpdateError, match=reason) as caught:
        train(open_here(body), tmp_path)
    assert PATIENT not in str(caught.value)
    assert not (tmp_path / "local.npz").exists()


FAILURES = {
    "raise ValueError('Mueller^Anna')": r"failed \(ValueError\); the site's trainer.log says where",
    "from fedvoxel.errors import CohortError\nraise CohortError('Mueller^Anna')": r"failed \(CohortError\)",
    "return Message(Error(code=0, reason='Mueller^Anna'), reply_to=message)": "answered with an error",
    "return 'Mueller^Anna'": r"failed \(AttributeError\)",
    "return reply(metrics=Mueller)": r"failed \(NameError\)",
}


@pytest.mark.parametrize("body", FAILURES)
def test_an_app_that_fails_is_one_failed_task_and_tells_of_no_patient(
    open_site: Open, tmp_path: Path, body: str
) -> None:
    # In the source, and so in the traceback's line, stands no patient: only in what is made when it runs.
    process = open_site(body.replace("'Mueller^Anna'", "'Muel' + 'ler^Anna'"))
    with pytest.raises(TrainingError, match=FAILURES[body]) as caught:
        train(process, tmp_path)
    assert PATIENT not in str(caught.value) and "Traceback" not in str(caught.value)
    log = (tmp_path / "trainer.log").read_text()
    assert PATIENT not in log
    assert "event=flower_app_failed" in log or "answered with an error" in str(caught.value)
    first = process.pid
    assert ask(process, {"command": "initialize"}).arrays and process.pid == first


def test_an_app_that_ends_the_process_is_one_failed_task(open_site: Open, tmp_path: Path) -> None:
    process = open_site("import sys; sys.exit(5)")
    with pytest.raises(TrainerDiedError, match="exit code 5"):
        train(process, tmp_path)
    assert ask(process, {"command": "initialize"}).arrays, "a new process answers"


SEEN = """
import json, os, pathlib, sys
import pandas, requests
config = dict(message.content["config"])
seen = {"config": config, "run_config": dict(context.run_config), "node_config": dict(context.node_config)}
seen |= {"cases": [case.case for case in context.cases], "shape": context.cases[0].image.shape}
seen |= {"network": sorted(context.network().state_dict()), "size": context.task.training.sampling.size}
seen |= {"switches": {name: value for name, value in os.environ.items() if name.startswith("FLWR_")}}
seen |= {"path": sys.path, "names": sorted(weights)}
context.state["calls"] = ConfigRecord({"n": dict(context.state["calls"])["n"] + 1 if "calls" in context.state else 1})
seen["calls"] = dict(context.state["calls"])["n"]
pathlib.Path(os.environ["SEEN"]).write_text(json.dumps(seen))
"""


def test_an_app_finds_its_cases_network_and_numbers_and_flower_asks_nobody(
    open_site: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEN", str(tmp_path / "seen.json"))
    monkeypatch.setenv("FLWR_TELEMETRY_ENABLED", "1")
    monkeypatch.chdir(tmp_path)
    process = open_site(SEEN + HONEST)
    model, _ = train(process, tmp_path)
    train(process, tmp_path, round=1)
    seen = json.loads((tmp_path / "seen.json").read_text())
    numbers = {"learning-rate": 0.1, "local-epochs": 2}
    assert seen["config"] == numbers | {"server-round": 2, "num-rounds": 3} and seen["run_config"] == numbers
    assert seen["node_config"] == {} and seen["calls"] == 2
    assert seen["names"] == seen["network"] == sorted(model)
    assert seen["shape"] == [1, 16, 16, 16] and seen["size"] == [16, 16, 16]
    assert seen["cases"] and all(case.startswith("case-") for case in seen["cases"])
    assert seen["switches"] == {
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    }
    assert not {"", str(tmp_path)} & set(seen["path"]), "what lies in the working folder is no module"


def test_a_patient_who_is_excluded_is_not_among_the_cases(open_site: Open, tmp_path: Path) -> None:
    process = open_site()
    before = train(process, tmp_path)[1].header["case_count"]
    local = tmp_path / "kit" / "local"
    site = load_site_config(local / "fedvoxel_site.json")
    Exclusions(site, local).exclude([site.pseudonym_of(f"blob{index}") for index in range(12)][:6])
    after = train(process, tmp_path)[1].header["case_count"]
    assert 1 <= after < before


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ("os:system", "is no flwr.clientapp.ClientApp"),
        (f"{MODULE}:train", "is no flwr.clientapp.ClientApp"),
        (f"{MODULE}:missing", r"cannot be loaded here \(AttributeError\)"),
        ("no_such_module:app", r"cannot be loaded here \(ModuleNotFoundError\)"),
    ],
)
def test_a_list_that_names_no_app_is_a_refusal(open_here: Here, listed: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        open_here(listed=listed)


def test_under_privacy_of_the_hospital_no_weights_are_kept(open_here: Here, tmp_path: Path) -> None:
    hospital = {"unit": "hospital", "clip_norm": 1.0, "noise_multiplier": 1.0, "sites": 3, "delta": 1e-3}
    model, answer = train(open_here(privacy=hospital), tmp_path, validate=False)
    assert set(answer.arrays) == set(model) and not (tmp_path / "local.npz").exists()


def test_what_lies_in_the_working_folder_is_no_app(
    open_site: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in_the_working_folder.py").write_text("from flwr.clientapp import ClientApp\napp = ClientApp()\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"cannot be loaded here \(ModuleNotFoundError\)"):
        ask(open_site(listed="in_the_working_folder:app"), {"command": "initialize"})
