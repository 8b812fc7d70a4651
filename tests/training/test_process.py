"""The trainer process: results equal the trainer's own, its death is an error, an abort ends it, no orphan stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fedvoxel.errors import CohortError, ConfigError, TrainingError
from fedvoxel.training.messages import Message
from fedvoxel.training.process import TrainerProcess
from fedvoxel.updates.weights_file import load_weights
from fedvoxel.volumes.exclusions import Exclusions
from fedvoxel.volumes.site import load_site_config
from fedvoxel.volumes.split import split_of

from .conftest import make_setup, write_site


def _never() -> bool:
    return False


def _ask(process: TrainerProcess, header: dict, arrays=None, should_stop=_never) -> Message:
    return process.ask(Message(header, arrays or {}), should_stop, lambda header: None)


def _train_header(folder: Path, **changes) -> dict:
    header = {"command": "train", "round": 0, "num_rounds": 1, "validate": True, "keep_as": str(folder / "local.npz")}
    header |= {"correction": None, "accepted": None}
    return header | changes


@pytest.fixture
def process(site_file: Path, tmp_path: Path):
    trainer = TrainerProcess(make_setup(site_file, epochs_per_round=2), tmp_path / "trainer.log", threads=1)
    yield trainer
    trainer.end()


def test_initialise_train_and_evaluate(process: TrainerProcess, tmp_path: Path) -> None:
    model = dict(_ask(process, {"command": "initialize"}).arrays)
    trained = _ask(process, _train_header(tmp_path), model)
    assert trained.header["case_count"] >= 5
    assert 0 <= trained.header["validation"]["dice"]["blob"] <= 1
    local = load_weights(tmp_path / "local.npz")
    for name in model:
        np.testing.assert_allclose(local[name], model[name] + trained.arrays[name], atol=1e-6)
    again = _ask(process, {"command": "initialize"}).arrays
    assert all(np.array_equal(again[name], model[name]) for name in model), "a trained model left as an initial one"
    scores = _ask(process, {"command": "evaluate", "split": "test"}, local).header["scores"]
    assert all(row["case"].startswith("case-") for row in scores)


def test_a_killed_trainer_is_an_error_and_the_next_task_gets_a_new_one(site_file: Path, tmp_path: Path) -> None:
    process = TrainerProcess(make_setup(site_file, epochs_per_round=1000), tmp_path / "trainer.log", threads=1)
    model = dict(_ask(process, {"command": "initialize"}).arrays)
    first = process.pid
    killed: list[None] = []

    def kill_once() -> bool:
        if not killed:
            killed.append(os.kill(first, signal.SIGKILL))
        return False

    with pytest.raises(TrainingError, match="signal 9"):
        _ask(process, _train_header(tmp_path), model, should_stop=kill_once)
    again = _ask(process, {"command": "initialize"}).arrays
    assert process.pid not in (None, first)
    assert all(np.array_equal(model[name], again[name]) for name in model)
    process.end()


def test_a_patient_who_is_excluded_while_the_trainer_runs_is_not_in_its_next_task(tmp_path: Path) -> None:
    local = tmp_path / "kit" / "local"
    local.mkdir(parents=True)
    site_file = write_site(local)
    process = TrainerProcess(make_setup(site_file), tmp_path / "trainer.log", threads=1)
    try:
        model = dict(_ask(process, {"command": "initialize"}).arrays)
        before, first = _ask(process, _train_header(tmp_path), model).header["case_count"], process.pid
        site = load_site_config(site_file)
        training = [
            f"blob{index}" for index in range(12) if split_of(f"blob{index}", site.cohorts["blobs"].split) == "training"
        ]
        Exclusions(site, local).exclude([site.pseudonym_of(training[0])])
        after, second = _ask(process, _train_header(tmp_path, round=1), model).header["case_count"], process.pid
        assert (before, after) == (len(training), len(training) - 1)
        _ask(process, _train_header(tmp_path, round=2), model)
        assert process.pid == second != first
    finally:
        process.end()


def test_an_abort_ends_the_child_within_seconds(site_file: Path, tmp_path: Path) -> None:
    process = TrainerProcess(make_setup(site_file, epochs_per_round=1000), tmp_path / "trainer.log", threads=1)
    model = dict(_ask(process, {"command": "initialize"}).arrays)
    child = process.pid
    started = time.monotonic()
    with pytest.raises(TrainingError, match="aborted"):
        _ask(process, _train_header(tmp_path), model, should_stop=lambda: time.monotonic() - started > 1)
    assert time.monotonic() - started < 10
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_errors_keep_their_class_and_name_no_path(site_file: Path, tmp_path: Path) -> None:
    unknown = TrainerProcess(make_setup(site_file, network={"name": "UNett"}), tmp_path / "trainer.log", threads=1)
    with pytest.raises(ConfigError, match="did you mean UNet"):
        _ask(unknown, {"command": "initialize"})
    unknown.end()
    for image in tmp_path.glob("image*"):
        image.write_bytes(b"not an image")
    spoilt = TrainerProcess(make_setup(site_file), tmp_path / "trainer.log", threads=1)
    with pytest.raises(CohortError, match="no usable case") as caught:
        _ask(spoilt, {"command": "initialize"})
    spoilt.end()
    assert str(tmp_path) not in str(caught.value)
    assert "image0" not in (tmp_path / "trainer.log").read_text()


def test_an_evaluation_only_site_replies_without_arrays(tmp_path: Path) -> None:
    site_file = write_site(tmp_path, split={"validation": 0.0, "test": 1.0})
    process = TrainerProcess(make_setup(site_file), tmp_path / "trainer.log", threads=1)
    model = dict(_ask(process, {"command": "initialize"}).arrays)
    reply = _ask(process, _train_header(tmp_path), model)
    assert (reply.header["case_count"], reply.header["validation"], dict(reply.arrays)) == (0, None, {})
    process.end()


def test_the_child_ends_when_its_parent_is_killed(site_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\nfrom pathlib import Path\n"
        "from fedvoxel.config import parse_config\n"
        "from fedvoxel.training.process import TrainerProcess\nfrom fedvoxel.training.setup import TrainerSetup\n"
        "setup = TrainerSetup.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "process = TrainerProcess(setup, Path(sys.argv[2]), 1)\nprocess.start()\n"
        "print(process.pid, flush=True)\ntime.sleep(60)\n"
    )
    setup_file = tmp_path / "setup.json"
    setup_file.write_text(make_setup(site_file).model_dump_json())
    arguments = [sys.executable, str(script), str(setup_file), str(tmp_path / "trainer.log")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not Path(f"/proc/{child}").exists()
