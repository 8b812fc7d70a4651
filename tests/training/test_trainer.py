"""A trainer learns, is reproducible from its seed, and refuses what it cannot train on."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, TrainingError
from fedvoxel.training.config import ScheduleConfig, TrainingConfig
from fedvoxel.training.schedule import rate_factor
from fedvoxel.training.scoring import score_case
from fedvoxel.training.setup import TrainerSetup
from fedvoxel.training.trainer import Trainer
from fedvoxel.volumes.loading import load_cases
from fedvoxel.volumes.plan import PreparedCase
from fedvoxel.volumes.site import load_site_config

from .conftest import make_setup, training_section


def _cases(setup: TrainerSetup, split: str) -> tuple[PreparedCase, ...]:
    path = Path(setup.site_file)
    task = setup.task
    return load_cases(load_site_config(path), task.cohort, task.classes, task.plan, split, path.parent)[0]


def _trainer(site_file: Path, site: str = "hospital-a", **training) -> Trainer:
    setup = make_setup(site_file, **training)
    return Trainer(setup.task.training, ("blob",), _cases(setup, "training"), site, "cpu")


def _train(trainer: Trainer, rounds: int = 2) -> dict[str, np.ndarray]:
    model = trainer.weights()
    for index in range(rounds):
        update = trainer.train_round(model, index, rounds)
        model = {name: model[name] + update.arrays[name] for name in model}
    return model


def test_a_few_rounds_learn_the_blobs(site_file: Path) -> None:
    trainer = _trainer(site_file, epochs_per_round=5)
    scores = trainer.evaluate(_train(trainer, rounds=4), _cases(make_setup(site_file), "test"), surfaces=True)
    assert len(scores) >= 1
    assert np.mean([score.dice["blob"] for score in scores]) > 0.8
    assert all(score.hd95_mm["blob"] is not None for score in scores)


@pytest.mark.parametrize("sampling", [{"kind": "whole", "size": [16, 16, 16]}, {"kind": "patch", "size": [8, 8, 8]}])
def test_the_same_seed_gives_the_same_bits(site_file: Path, sampling: dict) -> None:
    changes = {"sampling": sampling, "augmentation": {"noise_std": 0.1, "rotation_degrees": 10}}
    first, again = (_train(_trainer(site_file, **changes)) for _ in range(2))
    assert all(first[name].tobytes() == again[name].tobytes() for name in first)
    other_site = _train(_trainer(site_file, site="hospital-b", **changes))
    assert any(first[name].tobytes() != other_site[name].tobytes() for name in first)


def test_moments_live_on_only_where_asked(site_file: Path) -> None:
    kept, reset = (
        _train(_trainer(site_file, optimizer={"learning_rate": 0.01, "keep_state": keep})) for keep in (True, False)
    )
    assert any(kept[name].tobytes() != reset[name].tobytes() for name in kept)


def test_progress_is_told_after_every_step(site_file: Path) -> None:
    trainer = _trainer(site_file, batch_size=2)
    told: list[tuple[int, int]] = []
    trainer.train_round(trainer.weights(), 0, 1, lambda step, steps, loss: told.append((step, steps)))
    steps = -(-trainer.case_count // 2)
    assert told == [(step, steps) for step in range(1, steps + 1)]


def test_a_site_without_training_cases_cannot_train(site_file: Path) -> None:
    trainer = Trainer(make_setup(site_file).task.training, ("blob",), (), "hospital-a", "cpu")
    with pytest.raises(TrainingError, match="no training case"):
        trainer.train_round(trainer.weights(), 0, 1)


def test_a_loss_that_is_not_finite_is_an_error_and_not_an_update(site_file: Path) -> None:
    trainer = _trainer(site_file)
    broken = {name: np.full_like(array, np.inf) for name, array in trainer.weights().items()}
    with pytest.raises(TrainingError, match="not finite"):
        trainer.train_round(broken, 0, 1)


def test_a_patch_larger_than_the_volume_is_padded(site_file: Path) -> None:
    trainer = _trainer(site_file, sampling={"kind": "patch", "size": [24, 24, 24]}, augmentation={})
    assert trainer.train_round(trainer.weights(), 0, 1).case_count == trainer.case_count


def test_config_errors_name_the_key() -> None:
    for change, key in [
        ({"learningrate": 1}, "learningrate"),
        ({"optimizer": {"learning_rate": -1}}, "optimizer.learning_rate"),
        ({"sampling": {"kind": "slice", "size": [8, 8, 8]}}, "sampling"),
        ({"sampling": {"kind": "patch", "size": [8, 8, 8]}}, "shift_voxels"),
        ({"seed": float("nan")}, "seed"),
        ({"site_local": ["*.bias"], "personal": {"name": "ditto"}}, "site_local and training.personal are two ways"),
    ]:
        with pytest.raises(ConfigError, match=key):
            parse_config(TrainingConfig, training_section(**change), "the job's training section")


def test_only_what_is_trainable_moves_and_the_average_stays_behind_the_last_weights(site_file: Path) -> None:
    still = {"augmentation": {}, "epochs_per_round": 3, "trainable": ["*.bias"]}
    moves = []
    for decay in (None, 0.9):
        trainer = _trainer(site_file, average_decay=decay, **still)
        update = trainer.train_round(trainer.weights(), 0, 1)
        assert {name for name, array in update.arrays.items() if array.any()} <= {
            name for name in update.arrays if name.endswith(".bias")
        }
        moves.append(sum(float(np.square(array).sum()) for array in update.arrays.values()))
    assert 0 < moves[1] < moves[0]


def test_the_schedule_warms_up_and_ends_at_its_final_factor() -> None:
    config = ScheduleConfig(warmup_fraction=0.1, final_factor=0.2)
    factors = [rate_factor(config, step, 100) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10] == pytest.approx(1.0)
    assert factors[100] == pytest.approx(0.2)
    assert all(later <= earlier for earlier, later in pairwise(factors[10:]))
    assert rate_factor(ScheduleConfig(name="constant"), 57, 100) == 1.0


def test_scores_say_none_where_nothing_can_be_said() -> None:
    empty, half = np.zeros((8, 8, 8), np.uint8), np.zeros((8, 8, 8), np.uint8)
    half[:4] = 1
    both = score_case("case-1", half, half, ["blob", "other"], (1, 1, 1), surfaces=True)
    assert both.dice == {"blob": 1.0, "other": None}
    assert both.hd95_mm == {"blob": 0.0, "other": None}
    missed = score_case("case-2", empty, half, ["blob"], (1, 1, 1), surfaces=True)
    assert missed.dice == {"blob": 0.0}
    assert missed.hd95_mm == {"blob": None}


def test_hd95_counts_in_millimetres() -> None:
    truth, moved = np.zeros((12, 12, 12), np.uint8), np.zeros((12, 12, 12), np.uint8)
    truth[3:6, 3:9, 3:9] = 1
    moved[5:8, 3:9, 3:9] = 1
    score = score_case("case-1", moved, truth, ["blob"], (2.5, 1, 1), surfaces=True)
    assert score.hd95_mm["blob"] == pytest.approx(5.0)


def test_fedprox_adds_mu_times_the_way_gone_to_each_gradient(site_file: Path) -> None:
    rate, mu = 0.05, 0.7
    plain = {"augmentation": {}, "batch_size": 64, "optimizer": {"name": "SGD", "learning_rate": rate}}
    plain |= {"schedule": {"name": "constant"}}

    def after(steps: int, **changes: float) -> dict[str, np.ndarray]:
        trainer = _trainer(site_file, epochs_per_round=steps, **plain, **changes)
        return dict(trainer.train_round(trainer.weights(), 0, 1).arrays)

    one, two, held = after(1), after(2), after(2, proximal_mu=mu)
    # By hand: w1 = x - eta g1, w2 = w1 - eta g2, and with the term w2 - eta mu (w1 - x).
    for name in one:
        np.testing.assert_allclose(held[name], two[name] - rate * mu * one[name], rtol=1e-4, atol=1e-7)
        np.testing.assert_array_equal(after(1, proximal_mu=mu)[name], one[name])
    assert any(np.abs(held[name] - two[name]).max() > 1e-4 for name in one)


def _capable(monkeypatch: pytest.MonkeyPatch, capable: bool) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": capable})


def test_a_cpu_computes_in_bfloat16_only_where_the_job_asks_and_it_can(
    site_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _capable(monkeypatch, True)
    plain, coarse = (_train(_trainer(site_file, cpu_bfloat16=asked)) for asked in (False, True))
    _capable(monkeypatch, False)
    unable = _train(_trainer(site_file, cpu_bfloat16=True))
    assert all(plain[name].tobytes() == unable[name].tobytes() for name in plain)
    assert any(plain[name].tobytes() != coarse[name].tobytes() for name in plain)
    assert all(array.dtype == np.float32 for array in coarse.values())


def test_bfloat16_learns_the_blobs_too(site_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _capable(monkeypatch, True)
    trainer = _trainer(site_file, epochs_per_round=5, cpu_bfloat16=True)
    scores = trainer.evaluate(_train(trainer, rounds=4), _cases(make_setup(site_file), "test"))
    assert np.mean([score.dice["blob"] for score in scores]) > 0.8
