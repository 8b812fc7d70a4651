"""One patient moves a step by no more than the clip bound, whatever its scans hold, and nothing else leaves."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, TrainingError
from fedvoxel.privacy.noise import FixedNoise, SecureNoise
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.training.config import ComponentConfig, TrainingConfig
from fedvoxel.training.networks import build_loss
from fedvoxel.training.patient_gradients import (
    PATIENT_LOSSES,
    PatientGradients,
    clipped_sum,
    joint_norms,
)
from fedvoxel.training.patient_views import PatientViews
from fedvoxel.training.private_training import PUBLIC_WEIGHT, PrivateTrainer
from fedvoxel.training.segmenter import Segmenter, loss_of
from fedvoxel.training.site_state import SiteState
from fedvoxel.training.trainer import Trainer
from fedvoxel.volumes.plan import PreparedCase

from .conftest import SIZE, training_section

CLIP = 0.5
ONE_RATE = {"optimizer": {"name": "SGD", "learning_rate": 1.0}, "schedule": {"name": "constant"}}
NETWORKS = {
    "UNet": {"channels": [4, 8], "strides": [2], "num_res_units": 1},
    "DynUNet": {
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [4, 8, 8],
        "deep_supervision": True,
    },
    "SegResNet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
}


def _config(**changes) -> TrainingConfig:
    section = training_section(**({"augmentation": {}} | changes))
    return parse_config(TrainingConfig, section, "the test's training section")


def _scan(number: int, size: tuple[int, int, int] = SIZE) -> PreparedCase:
    random = np.random.default_rng(number)
    grid = np.indices(size).transpose(1, 2, 3, 0)
    label = (np.linalg.norm(grid - random.integers(5, 11, 3), axis=-1) < 3.5).astype(np.uint8)
    image = (random.normal(size=size) * 0.2 + label).astype(np.float32)[None]
    return PreparedCase(f"case-{number}", image, label, (1.0, 1.0, 1.0), np.eye(4))


def _patients(count: int, scans: int = 1) -> list[list[PreparedCase]]:
    return [[_scan(scans * patient + scan) for scan in range(scans)] for patient in range(count)]


def _gradients(config: TrainingConfig) -> PatientGradients:
    segmenter = Segmenter(config, ("blob",), "cpu")
    segmenter.network.train()
    return PatientGradients(segmenter, config.loss)


def _mechanism(noise_multiplier: float | None = None, seed: int | None = 3, **changes) -> PatientMechanism:
    values = {
        "unit": "patient",
        "clip_norm": CLIP,
        "noise_multiplier": noise_multiplier,
        "sampling_probability": 1.0,
        "steps_per_round": 1,
        "delta": 1e-3,
        "expected_batch": 4.0,
    }
    config = parse_config(PatientMechanismConfig, values | changes, "the test's privacy section")
    return PatientMechanism(config, SecureNoise() if seed is None else FixedNoise(seed))


def _trainer(
    patients: Sequence[Sequence[PreparedCase]],
    mechanism: PatientMechanism,
    patients_at_once: int = 4,
    **changes,
) -> PrivateTrainer:
    config = _config(**(ONE_RATE | changes))
    views = PatientViews(config, patients, "hospital-a", mechanism.config.views_per_patient)
    return PrivateTrainer(Segmenter(config, ("blob",), "cpu"), views, mechanism, patients_at_once)


def _difference(trainer: PrivateTrainer, rounds: int = 1) -> np.ndarray:
    model = trainer.weights()
    update = trainer.train_round(model, 0, rounds)
    return np.concatenate([array.ravel() for array in update.arrays.values()]).astype(np.float64)


def _flat(sums) -> torch.Tensor:
    return torch.cat([one.flatten() for one in sums.values()])


def _one_by_one(config: TrainingConfig, gradients: PatientGradients, views) -> dict[str, torch.Tensor]:
    """The reference: plain backward passes, one patient each, with the loss of the ordinary trainer."""
    loss, network = build_loss(config.loss), gradients._segmenter.network
    rows = []
    for images, codes in zip(*views, strict=True):
        network.zero_grad()
        loss_of(loss, network(images), codes).backward()
        parameters = gradients.parameters.items()
        rows.append({name: torch.zeros_like(one) if one.grad is None else one.grad.clone() for name, one in parameters})
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    ("network", "loss"),
    [("UNet", loss) for loss in PATIENT_LOSSES] + [("DynUNet", "DiceCELoss"), ("SegResNet", "DiceCELoss")],
)
def test_each_patients_gradient_is_that_of_a_plain_loop(network: str, loss: str) -> None:
    config = _config(network={"name": network, "arguments": NETWORKS[network]}, loss={"name": loss})
    gradients = _gradients(config)
    views = PatientViews(config, _patients(3, scans=2), "hospital-a", views=2).draw([0, 1, 2], 0, 0)
    found, expected = gradients.of(views), _one_by_one(config, gradients, views)
    assert set(found) == set(expected)
    for name, rows in expected.items():
        torch.testing.assert_close(found[name], rows, rtol=0, atol=1e-5)
    assert joint_norms(found).min() > 1e-2


@pytest.mark.parametrize("network", ["UNet", "DynUNet"])
def test_computing_gradients_leaves_every_parameter_in_its_place(network: str) -> None:
    config = _config(network={"name": network, "arguments": NETWORKS[network]})
    gradients = _gradients(config)
    held = list(gradients._segmenter.network.named_parameters(remove_duplicate=False))
    gradients.of(PatientViews(config, _patients(2), "hospital-a", views=1).draw([0, 1], 0, 0))
    after = list(gradients._segmenter.network.named_parameters(remove_duplicate=False))
    assert [(name, id(one)) for name, one in after] == [(name, id(one)) for name, one in held]


class _Tied(torch.nn.Module):
    """Has one parameter in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Conv3d(2, 2, 1)
        self.second = torch.nn.Conv3d(2, 2, 1)
        self.second.weight = self.first.weight

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(torch.cat([image, 1 - image], 1))))


def test_a_parameter_in_two_layers_gets_the_gradient_of_both() -> None:
    config = _config()
    segmenter = Segmenter(config, ("blob",), "cpu")
    segmenter.network = _Tied()
    gradients = PatientGradients(segmenter, config.loss)
    views = PatientViews(config, _patients(2), "hospital-a", views=1).draw([0, 1], 0, 0)
    found, expected = gradients.of(views), _one_by_one(config, gradients, views)
    assert set(found) == {"first.weight", "first.bias", "second.bias"}
    for name, rows in expected.items():
        torch.testing.assert_close(found[name], rows, rtol=0, atol=1e-5)


def test_without_clip_and_noise_a_step_is_the_plain_trainers() -> None:
    patients = _patients(4)
    plain = Trainer(_config(**ONE_RATE, batch_size=4), ("blob",), [scans[0] for scans in patients], "hospital-a", "cpu")
    update = plain.train_round(plain.weights(), 0, 1)
    expected = np.concatenate([array.ravel() for array in update.arrays.values()])
    found = _difference(_trainer(patients, _mechanism(clip_norm=1e6)))
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_the_sum_does_not_depend_on_how_patients_are_grouped() -> None:
    found = [_difference(_trainer(_patients(3), _mechanism(), size)) for size in (1, 2, 3)]
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-7)
    np.testing.assert_allclose(found[2], found[0], rtol=0, atol=1e-7)


DEEP = {"channels": [8, 16], "strides": [2], "num_res_units": 1, "norm": ["instance", {"affine": True, "eps": 1e-30}]}
"""A network whose gradients are rounded in another way for one patient than for two."""


def _row(gradients: PatientGradients, views, row: int) -> torch.Tensor:
    return torch.cat([rows[row].flatten() for rows in gradients.of(views).values()])


@pytest.mark.parametrize(("padded", "same"), [(4, True), (1, False)])
def test_a_patients_gradient_is_the_same_to_the_last_bit_whoever_else_there_is(padded: int, same: bool) -> None:
    config = _config(network={"name": "UNet", "arguments": DEEP})
    segmenter = Segmenter(config, ("blob",), "cpu")
    gradients = PatientGradients(segmenter, config.loss, padded)
    views = PatientViews(config, _patients(5), "hospital-a", views=1)
    alone = _row(gradients, views.draw([0], 0, 0), 0)
    groups = [[0, 1], [1, 0], [0, 1, 2], [3, 0, 2], [0, 1, 2, 3], [3, 2, 1, 0], [4, 2, 0, 1]]
    found = [_row(gradients, views.draw(group, 0, 0), group.index(0)) for group in groups]
    assert all(torch.equal(row, alone) for row in found) == same


def test_a_group_is_filled_up_to_no_more_than_its_size() -> None:
    config = _config()
    gradients = PatientGradients(Segmenter(config, ("blob",), "cpu"), config.loss, 2)
    views = PatientViews(config, _patients(3), "hospital-a", views=1)
    computed: list[int] = []
    of_each = gradients._of_each

    def noted(weights, images, truth):
        computed.append(len(images))
        return of_each(weights, images, truth)

    gradients._of_each = noted
    rows = [len(next(iter(gradients.of(views.draw(group, 0, 0)).values()))) for group in ([0], [0, 1], [0, 1, 2])]
    assert computed == [2, 2, 3] and rows == [1, 2, 3]


def test_mixed_precision_has_no_say_in_a_patients_gradient() -> None:
    """The CPU would take it if it were asked."""
    config = _config()
    plain, mixed = (Segmenter(config, ("blob",), "cpu") for _ in range(2))
    mixed.autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    views = PatientViews(config, _patients(2), "hospital-a", views=1).draw([0, 1], 0, 0)
    first, second = (_row(PatientGradients(one, config.loss), views, 0) for one in (plain, mixed))
    assert torch.equal(first, second)


def test_the_clip_is_that_of_opacus() -> None:
    optimizers = pytest.importorskip("opacus.optimizers")
    config = _config()
    gradients = _gradients(config)
    views = PatientViews(config, _patients(3), "hospital-a", views=1).draw([0, 1, 2], 0, 0)
    ours = clipped_sum(gradients, [views], _mechanism().clip_factor)
    parameters = gradients.parameters
    for name, rows in gradients.of(views).items():
        parameters[name].grad_sample = rows
    plain = torch.optim.SGD(parameters.values(), lr=1.0)
    opacus = optimizers.DPOptimizer(plain, noise_multiplier=0.0, max_grad_norm=CLIP, expected_batch_size=4)
    opacus.clip_and_accumulate()
    for name, sums in ours.items():
        torch.testing.assert_close(sums.float(), parameters[name].summed_grad, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------- sensitivity


class _Louder(torch.nn.Module):
    def __init__(self, loss: torch.nn.Module, factor: float) -> None:
        super().__init__()
        self.loss, self.factor = loss, factor

    def forward(self, output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return self.loss(output, truth) * self.factor


def _loud_sum(factor: float, patients: int, clip_factor) -> float:
    config = _config()
    gradients = _gradients(config)
    gradients._loss = _Louder(gradients._loss, factor)
    views = PatientViews(config, _patients(patients, scans=2), "hospital-a", views=2)
    drawn = views.draw(range(patients), 0, 0)
    return float(_flat(clipped_sum(gradients, [drawn], clip_factor)).norm())


@pytest.mark.parametrize("factor", [1e4, 1e-4])
def test_one_patient_moves_the_sum_by_at_most_the_clip_bound(factor: float) -> None:
    norm = _loud_sum(factor, 1, _mechanism().clip_factor)
    assert norm <= CLIP * (1 + 1e-12)
    assert factor < 1 or norm == pytest.approx(CLIP, rel=1e-5)


def test_the_sensitivity_test_notices_a_missing_clip() -> None:
    assert _loud_sum(1e4, 1, np.ones_like) > CLIP


def test_a_patient_more_changes_a_step_by_at_most_the_clip_bound_over_the_public_denominator() -> None:
    augmented = {"augmentation": {"noise_std": 0.2, "shift_voxels": 2}}
    everyone = _patients(5)
    full = _difference(_trainer(everyone, _mechanism(), **augmented))
    for left_out in range(5):
        others = [scans for patient, scans in enumerate(everyone) if patient != left_out]
        moved = np.linalg.norm(full - _difference(_trainer(others, _mechanism(), **augmented)))
        assert moved <= CLIP / 4 * (1 + 1e-5)


def test_two_scans_of_one_patient_count_once() -> None:
    config = _config()
    gradients = _gradients(config)
    views = PatientViews(config, _patients(1, scans=2), "hospital-a", views=2).draw([0], 0, 0)
    apart = PatientViews(config, [[_scan(0)], [_scan(1)]], "hospital-a", views=1).draw([0, 1], 0, 0)
    found, each = gradients.of(views), gradients.of(apart)
    for name, rows in found.items():
        torch.testing.assert_close(rows[0], each[name].mean(0), rtol=0, atol=1e-6)
    one, two = (_flat(clipped_sum(gradients, [group], _mechanism().clip_factor)).norm() for group in (views, apart))
    assert one <= CLIP * (1 + 1e-12) < two


def test_a_gradient_that_is_not_finite_counts_as_zero_and_tells_nothing() -> None:
    broken = _scan(9)
    broken.image[:] = np.nan
    with_it = _difference(_trainer([[_scan(0)], [broken]], _mechanism()))
    without = _difference(_trainer([[_scan(0)]], _mechanism()))
    np.testing.assert_allclose(with_it, without, rtol=0, atol=1e-7)


@pytest.mark.parametrize("sampling", [{"kind": "whole", "size": SIZE}, {"kind": "patch", "size": [8, 8, 8]}])
def test_a_patients_views_depend_on_nobody_else(sampling: dict) -> None:
    config = _config(sampling=sampling, augmentation={"noise_std": 0.2, "flip_axes": [0, 1]})
    everyone = _patients(3, scans=3)
    all_three = PatientViews(config, everyone, "hospital-a", views=4)
    last_two = PatientViews(config, everyone[1:], "hospital-a", views=4)
    images, codes = all_three.draw([0, 1, 2], 2, 5)
    again, again_codes = last_two.draw([0, 1], 2, 5)
    assert images.shape == (3, 4, 1, *sampling["size"])
    assert torch.equal(images[1:], again) and torch.equal(codes[1:], again_codes)
    assert not torch.equal(images, all_three.draw([0, 1, 2], 2, 6)[0])
    assert not torch.equal(images, PatientViews(config, everyone, "hospital-b", views=4).draw([0, 1, 2], 2, 5)[0])


def test_patients_with_the_same_scan_get_views_of_their_own() -> None:
    config, scan = _config(augmentation={"noise_std": 0.2}), _scan(0)
    twins = [[scan], [replace(scan, case="case-other")]]
    images, _ = PatientViews(config, twins, "hospital-a", views=2).draw([0, 1], 0, 0)
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[0, 0], images[0, 1])


# ---------------------------------------------------------------- noise and denominator


def test_the_denominator_is_the_jobs_and_not_the_number_of_patients() -> None:
    alone = _difference(_trainer(_patients(1), _mechanism()))
    assert np.linalg.norm(alone) == pytest.approx(CLIP / 4, rel=1e-4)
    halved = _difference(_trainer(_patients(1), _mechanism(expected_batch=8.0)))
    np.testing.assert_allclose(alone, 2 * halved, rtol=0, atol=1e-7)


def test_without_a_patient_a_step_is_noise_of_the_mechanisms_scale() -> None:
    told: list[int] = []
    trainer = _trainer([], _mechanism(2.0, seed=None, steps_per_round=3))
    model = trainer.weights()
    update = trainer.train_round(model, 0, 1, lambda done, steps, loss: told.append(done))
    moved = np.concatenate([array.ravel() for array in update.arrays.values()])
    assert told == [1, 2, 3]
    expected = np.sqrt(3 * moved.size) * 2.0 * CLIP / 4.0
    assert np.linalg.norm(moved) == pytest.approx(expected, rel=6 / np.sqrt(2 * moved.size))


def test_without_patient_and_noise_nothing_moves() -> None:
    assert not _difference(_trainer([], _mechanism())).any()


def test_noise_is_fresh_unless_a_fixed_source_was_asked_for() -> None:
    fixed, repeated = (_difference(_trainer(_patients(2), _mechanism(1.0))) for _ in range(2))
    assert np.array_equal(fixed, repeated)
    first, second = (_difference(_trainer(_patients(2), _mechanism(1.0, seed=None))) for _ in range(2))
    assert not np.isclose(first, second, rtol=1e-6, atol=0).any(), "two runs share noise"


def _moved(folder: Path, rounds: Sequence[int], seed: int = 3) -> np.ndarray:
    """Trains rounds with a mechanism's noise, as a new process each time, and returns the last one's difference."""
    adam = {"optimizer": {"name": "AdamW", "learning_rate": 0.01}}
    folder.mkdir(exist_ok=True)
    for index in rounds:
        mechanism = _mechanism(2.0, seed=seed + index)
        config = _config(**(ONE_RATE | adam))
        views = PatientViews(config, _patients(3), "hospital-a", mechanism.config.views_per_patient)
        segmenter, state = Segmenter(config, ("blob",), "cpu"), SiteState(folder, "blobs")
        trainer = PrivateTrainer(segmenter, views, mechanism, state=state)
        update = trainer.train_round(trainer.weights(), index, 3)
    return np.concatenate([array.ravel() for array in update.arrays.values()])


def test_moments_of_noised_gradients_outlive_the_process(tmp_path: Path) -> None:
    """With the same noise the same bits; a round that was lost after it was trained leaves no trace in the next try."""
    whole = _moved(tmp_path / "whole", [0, 1, 2])
    assert np.array_equal(whole, _moved(tmp_path / "again", [0, 1, 1, 2]))
    assert not np.array_equal(whole, _moved(tmp_path / "anew", [2])), "without the moments it would be another update"
    _moved(tmp_path / "redrawn", [0, 1], seed=7)
    assert not np.array_equal(whole, _moved(tmp_path / "redrawn", [2])), "moments of other noise are others"
    kept = SiteState(tmp_path / "whole", "blobs")
    assert sorted(kept.moments()) == [1, 2] and not kept.checkpoint_file.exists(), "no point within a round is kept"


def test_the_global_random_state_has_no_say_in_the_noise() -> None:
    runs = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        runs.append(_difference(_trainer([], _mechanism(1.0, seed=None))))
    assert not np.isclose(*runs, rtol=1e-6, atol=0).any()


# ---------------------------------------------------------------- what leaves


@pytest.mark.parametrize("patients", [0, 1, 5])
def test_an_update_carries_the_noisy_difference_and_nothing_else(patients: int) -> None:
    trainer = _trainer(_patients(patients), _mechanism(1.0, steps_per_round=2))
    told: list[object] = []
    model = trainer.weights()
    update = trainer.train_round(model, 0, 1, lambda *values: told.append(values))
    assert set(vars(update)) == {"arrays", "case_count", "metrics"}
    assert update.case_count == trainer.case_count == PUBLIC_WEIGHT
    assert not update.metrics
    assert {name: array.shape for name, array in update.arrays.items()} == {n: a.shape for n, a in model.items()}
    assert told == [(1, 2, None), (2, 2, None)]


def test_a_model_that_is_not_finite_is_refused_before_anything_is_spent() -> None:
    trainer = _trainer(_patients(1), _mechanism(1.0))
    broken = {name: np.full_like(array, np.inf) for name, array in trainer.weights().items()}
    with pytest.raises(TrainingError, match="not finite"):
        trainer.train_round(broken, 0, 1)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"norm": "batch"}, r"model\..*BatchNorm3d.*instance"),
        ({"norm": ["instance", {"track_running_stats": True}]}, "InstanceNorm3d keeps running_mean"),
        ({"dropout": 0.2}, "Dropout.*set dropout to 0"),
    ],
)
def test_layers_that_join_patients_are_refused_by_name(arguments: dict, words: str) -> None:
    network = {"name": "UNet", "arguments": NETWORKS["UNet"] | arguments}
    with pytest.raises(ConfigError, match=words):
        _trainer(_patients(1), _mechanism(), network=network)


@pytest.mark.parametrize("name", ["GeneralizedDiceLoss", "HausdorffDTLoss"])
def test_losses_that_are_not_known_to_work_are_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}.*use DiceLoss, DiceCELoss"):
        PatientGradients(Segmenter(_config(), ("blob",), "cpu"), ComponentConfig(name=name))


def test_unknown_arguments_of_a_loss_are_named() -> None:
    with pytest.raises(ConfigError, match="no argument warmth"):
        _trainer(_patients(1), _mechanism(), loss={"name": "DiceLoss", "arguments": {"warmth": 1}})


@pytest.mark.parametrize("setting", [{"batch_size": 2}, {"epochs_per_round": 3}, {"gradient_clip_norm": 1.0}])
def test_settings_that_the_mechanism_decides_are_refused(setting: dict) -> None:
    with pytest.raises(ConfigError, match=f"training.{next(iter(setting))}: .*privacy"):
        _trainer(_patients(1), _mechanism(), **setting)


# ---------------------------------------------------------------- schedule and averaging


def test_the_learning_rate_runs_over_all_steps_of_all_rounds() -> None:
    trainer = _trainer(_patients(1), _mechanism(steps_per_round=2), schedule={"name": "cosine"})
    rates: list[float] = []
    for index in range(3):
        trainer.train_round(
            trainer.weights(), index, 3, lambda *_: rates.append(trainer._optimizer.param_groups[0]["lr"])
        )
    assert rates == pytest.approx([0.5 * (1 + np.cos(np.pi * step / 6)) for step in range(6)])


def test_averaging_returns_the_moving_average_of_the_rounds_weights() -> None:
    seen: list[dict[str, np.ndarray]] = []
    for decay in (None, 0.75):
        trainer = _trainer(_patients(2), _mechanism(1.0, steps_per_round=3), average_decay=decay)
        model = trainer.weights()
        if decay is None:
            trainer.train_round(model, 0, 1, lambda *_: seen.append(trainer.weights()))  # noqa: B023
        else:
            update = trainer.train_round(model, 0, 1)
    for name, array in update.arrays.items():
        first, second, third = (weights[name] for weights in seen)
        expected = 0.75 * (0.75 * first + 0.25 * second) + 0.25 * third
        np.testing.assert_allclose(model[name] + array, expected, rtol=0, atol=1e-5)


def test_only_what_is_trainable_moves_is_clipped_and_gets_noise() -> None:
    chosen = ("*.bias",)
    trainer = _trainer(_patients(2), _mechanism(1.0), trainable=chosen)
    update = trainer.train_round(trainer.weights(), 0, 1)
    moved = {name for name, array in update.arrays.items() if array.any()}
    assert moved == {name for name in update.arrays if name.endswith(".bias")} and len(moved) < len(update.arrays)


def test_a_pattern_that_names_no_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.trainable: 'head\.\*' names no parameter; the network has model"):
        _trainer(_patients(1), _mechanism(), trainable=("*.bias", "head.*"))


def test_predictions_and_scores_are_those_of_the_segmenter() -> None:
    trainer = _trainer(_patients(2), _mechanism())
    scores = trainer.evaluate(trainer.weights(), [_scan(0), _scan(1)])
    assert [score.case for score in scores] == ["case-0", "case-1"]
    assert trainer.predict(_scan(0).image).shape == SIZE
