"""A trainer that was killed goes on, and makes the same bits as one that was not."""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedvoxel.errors import TrainingError
from fedvoxel.training import resumption
from fedvoxel.training.messages import Message
from fedvoxel.training.process import TrainerDiedError, TrainerProcess
from fedvoxel.training.setup import TrainerSetup
from fedvoxel.training.site_state import SiteState
from fedvoxel.training.site_trainer import SiteTrainer
from fedvoxel.training.trainer import Trainer
from fedvoxel.training.worker import main
from fedvoxel.updates.correction import Scaffold, with_controls
from fedvoxel.updates.update import Arrays, Update
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.site import load_site_config

from .conftest import make_setup

EPOCHS = 3
DROPOUT = {"channels": [4, 8], "strides": [2], "num_res_units": 0, "dropout": 0.2}


@pytest.fixture(autouse=True)
def after_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every finished epoch is kept."""
    monkeypatch.setattr(resumption, "_EVERY_S", 0.0)


class _KilledError(Exception):
    """Stands for the end of the process."""


def _trainer(site_file: Path, folder: Path, **changes: Any) -> Trainer:
    folder.mkdir(exist_ok=True)
    task = make_setup(site_file, **({"epochs_per_round": EPOCHS} | changes)).task
    site = load_site_config(site_file)
    cases, _ = load_cases(site, task.cohort, task.classes, task.plan, "training", site_file.parent)
    return Trainer(task.training, task.classes, cases, "hospital-a", "cpu", SiteState(folder, task.cohort))


def _same(one: Update, other: Update) -> bool:
    return one.metrics == other.metrics and all(
        np.array_equal(one.arrays[key], other.arrays[key]) for key in one.arrays
    )


def _killed_in_the_last_epoch(done: int, of: int, loss: float | None) -> None:
    if done > 2 * of // EPOCHS:
        raise _KilledError


def _steps_of(trainer: Trainer, model: Arrays, index: int = 0) -> tuple[Update, list[int]]:
    """Trains a round, and returns the steps that it took beside the update."""
    steps: list[int] = []
    return trainer.train_round(model, index, 2, lambda done, of, loss: steps.append(done)), steps


def test_a_round_goes_on_from_its_last_epoch_with_the_same_bits(site_file: Path, tmp_path: Path) -> None:
    changes = {"average_decay": 0.9, "network": {"name": "UNet", "arguments": DROPOUT}}
    model = _trainer(site_file, tmp_path / "whole", **changes).weights()
    torch.manual_seed(5)
    whole, steps = _steps_of(_trainer(site_file, tmp_path / "whole", **changes), model)
    torch.manual_seed(5)
    with pytest.raises(_KilledError):
        _trainer(site_file, tmp_path / "killed", **changes).train_round(model, 0, 2, _killed_in_the_last_epoch)
    torch.manual_seed(6)
    again, rest = _steps_of(_trainer(site_file, tmp_path / "killed", **changes), model)
    assert rest == steps[2 * len(steps) // 3 :]
    assert _same(whole, again)


def test_moments_outlive_the_process(site_file: Path, tmp_path: Path) -> None:
    one = _trainer(site_file, tmp_path / "one")
    model = one.weights()
    one.train_round(model, 0, 2)
    goes_on = one.train_round(model, 1, 2)
    _trainer(site_file, tmp_path / "two").train_round(model, 0, 2)
    assert _same(goes_on, _trainer(site_file, tmp_path / "two").train_round(model, 1, 2))
    anew = _trainer(site_file, tmp_path / "three").train_round(model, 1, 2)
    assert not _same(goes_on, anew), "without the moments it would be another update"
    assert sorted(SiteState(tmp_path / "one", "blobs").moments()) == [0, 1]


def _personal(site_file: Path, folder: Path) -> Trainer:
    return _trainer(site_file, folder, personal={"name": "ditto", "strength": 0.5})


def _personal_model(folder: Path) -> dict[str, np.ndarray]:
    return dict(np.load(SiteState(folder, "blobs").personal_file))


def test_a_personal_models_moments_outlive_the_process_and_a_second_try(site_file: Path, tmp_path: Path) -> None:
    one = _personal(site_file, tmp_path / "one")
    model = one.weights()
    for index in (0, 1):
        one.train_personal(model, index, 2)
    _personal(site_file, tmp_path / "two").train_personal(model, 0, 2)
    for _ in range(2):
        _personal(site_file, tmp_path / "two").train_personal(model, 1, 2)
    whole, again = _personal_model(tmp_path / "one"), _personal_model(tmp_path / "two")
    assert all(np.array_equal(whole[name], again[name]) for name in whole)
    _personal(site_file, tmp_path / "three").train_personal(model, 0, 2)
    moments = SiteState(tmp_path / "three", "blobs").moments("personal_moments")
    assert list(moments) == [0] and moments[0].stat().st_mode & 0o777 == 0o600
    moments[0].unlink()
    _personal(site_file, tmp_path / "three").train_personal(model, 1, 2)
    without = _personal_model(tmp_path / "three")
    assert not all(np.array_equal(whole[name], without[name]) for name in whole), "without them it is another model"
    SiteState(tmp_path / "one", "blobs").forget_run()
    assert not SiteState(tmp_path / "one", "blobs").moments("personal_moments")


def test_a_round_that_is_trained_twice_gives_the_same_update(site_file: Path, tmp_path: Path) -> None:
    """FLARE sends a task again when its answer was lost."""
    trainer = _trainer(site_file, tmp_path / "state")
    model = trainer.weights()
    trainer.train_round(model, 0, 2)
    first = trainer.train_round(model, 1, 2)
    assert _same(first, trainer.train_round(model, 1, 2))


def test_another_round_or_model_does_not_go_on_from_what_is_kept(site_file: Path, tmp_path: Path) -> None:
    changes = {"optimizer": {"name": "AdamW", "learning_rate": 0.01, "keep_state": False}}
    model = _trainer(site_file, tmp_path / "state", **changes).weights()
    other = {name: value + np.float32(0.01) for name, value in model.items()}
    for index, begins_with in ((0, other), (1, model)):
        with pytest.raises(_KilledError):
            _trainer(site_file, tmp_path / "state", **changes).train_round(model, 0, 2, _killed_in_the_last_epoch)
        assert SiteState(tmp_path / "state", "blobs").checkpoint_file.exists()
        update, steps = _steps_of(_trainer(site_file, tmp_path / "state", **changes), begins_with, index)
        expected, all_steps = _steps_of(_trainer(site_file, tmp_path / f"fresh{index}", **changes), begins_with, index)
        assert steps == all_steps
        assert _same(update, expected)


def test_a_round_with_control_variates_begins_anew(site_file: Path, tmp_path: Path) -> None:
    trainer = _trainer(site_file, tmp_path / "state", optimizer={"name": "SGD", "learning_rate": 0.01})
    model = trainer.weights()
    controls = {name: np.zeros_like(value) for name, value in model.items()}
    with pytest.raises(_KilledError):
        trainer.train_round(with_controls(model, controls), 0, 2, _killed_in_the_last_epoch, Scaffold(name="scaffold"))
    assert not SiteState(tmp_path / "state", "blobs").checkpoint_file.exists()


def test_files_that_are_no_longer_whole_cost_what_they_kept_only(site_file: Path, tmp_path: Path) -> None:
    model = _trainer(site_file, tmp_path / "state").weights()
    state = SiteState(tmp_path / "state", "blobs")
    with pytest.raises(_KilledError):
        _trainer(site_file, tmp_path / "state").train_round(model, 0, 2, _killed_in_the_last_epoch)
    state.checkpoint_file.write_bytes(state.checkpoint_file.read_bytes()[:100])
    state.moments_file(0).write_bytes(b"no moments")
    update, _ = _steps_of(_trainer(site_file, tmp_path / "state"), model)
    assert _same(update, _trainer(site_file, tmp_path / "fresh").train_round(model, 0, 2))


def test_the_files_are_the_owners_alone_and_another_run_drops_them(site_file: Path, tmp_path: Path) -> None:
    trainer = _trainer(site_file, tmp_path / "state")
    trainer.train_round(trainer.weights(), 0, 2)
    state = SiteState(tmp_path / "state", "blobs")
    files = [state.checkpoint_file, state.moments_file(0)]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
    state.forget_run()
    assert list((tmp_path / "state").iterdir()) == []


def _dies_once(setup: TrainerSetup) -> SiteTrainer:
    """Is a site's trainer whose process is killed in its third epoch, once."""
    resumption._EVERY_S = 0.0
    trainer, mark = SiteTrainer(setup), Path(setup.state_folder) / "died"
    answer = trainer.answer

    def killed(message: Message, progress: Any) -> Message:
        def dies(step: int, steps: int, loss: float | None) -> None:
            if step > 2 * steps // 3 and not mark.exists():
                mark.touch()
                os.kill(os.getpid(), 9)
            progress(step, steps, loss)

        return answer(message, dies)

    trainer.answer = killed  # type: ignore[method-assign]
    return trainer


def _ask_on(setup: TrainerSetup, folder: Path, module: str) -> Message:
    process = TrainerProcess(setup, folder / "trainer.log", 1, module)
    state = SiteState(Path(setup.state_folder), "blobs")
    header = {"command": "train", "round": 0, "num_rounds": 1, "validate": False, "correction": None, "accepted": None}
    try:
        model = process.ask(Message({"command": "initialize"}), lambda: False, lambda header: None).arrays
        message = Message(header | {"keep_as": str(folder / "local.npz")}, model)
        return process.ask_on(message, lambda: False, lambda header: None, state.checkpoint_file)
    finally:
        process.end()


@pytest.fixture
def _tests_are_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trainer process finds no module in the folder that it is started in, so that it is told where this one is."""
    root = str(Path(__file__).resolve().parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])))


@pytest.mark.usefixtures("_tests_are_modules")
def test_a_trainer_process_that_is_killed_in_its_round_costs_an_epoch(site_file: Path, tmp_path: Path) -> None:
    setup = make_setup(site_file, epochs_per_round=EPOCHS)
    whole = _ask_on(setup, tmp_path, "fedvoxel.training.worker")
    state = SiteState(Path(setup.state_folder), "blobs")
    state.forget_run()
    again = _ask_on(setup, tmp_path, "tests.training.test_resumption")
    assert (Path(setup.state_folder) / "died").exists()
    assert again.header["loss"] == whole.header["loss"]
    assert all(np.array_equal(again.arrays[name], whole.arrays[name]) for name in whole.arrays)


@pytest.mark.usefixtures("_tests_are_modules")
def test_a_trainer_that_has_kept_nothing_is_not_asked_again(site_file: Path, tmp_path: Path) -> None:
    setup = make_setup(site_file, epochs_per_round=1)
    with pytest.raises(TrainerDiedError, match="signal 9") as raised:
        _ask_on(setup, tmp_path, "tests.training.test_resumption")
    assert isinstance(raised.value, TrainingError)


if __name__ == "__main__":
    main(int(sys.argv[1]), _dies_once)  # type: ignore[arg-type]
