"""A share is the clipped sum on the grid with noise, exact over the pipe, and one patient moves it by at most C."""

from collections.abc import Sequence
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, TrainingError, UpdateError
from fedvoxel.privacy.noise import FixedNoise, Noise
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.privacy.shared_noise import SharedNoise
from fedvoxel.training import shared_training
from fedvoxel.training.config import TrainingConfig
from fedvoxel.training.messages import Message, receive, send
from fedvoxel.training.patient_gradients import PatientGradients, clipped_sum
from fedvoxel.training.patient_views import PatientViews
from fedvoxel.training.process import TrainerProcess
from fedvoxel.training.segmenter import Segmenter
from fedvoxel.training.setup import TrainerSetup, TrainingTask
from fedvoxel.training.shared_training import SharedTrainer
from fedvoxel.training.site_trainer import SiteTrainer
from fedvoxel.volumes.plan import PreparedCase

from .conftest import SIZE, make_setup, training_section

PRIVACY: dict[str, Any] = {
    "unit": "patient",
    "clip_norm": 0.5,
    "noise_multiplier": 1.0,
    "sampling_probability": 1.0,
    "steps_per_round": 1,
    "delta": 1e-3,
    "expected_batch": 3,
    "shared_noise": {"sites": 5, "colluders": 1, "dropouts": 1},
}


def _training(**changes: Any) -> dict[str, Any]:
    section = training_section(augmentation={}, **changes)
    return {key: value for key, value in section.items() if key != "optimizer"}


def _scan(number: int) -> PreparedCase:
    random = np.random.default_rng(number)
    grid = np.indices(SIZE).transpose(1, 2, 3, 0)
    label = (np.linalg.norm(grid - random.integers(5, 11, 3), axis=-1) < 3.5).astype(np.uint8)
    image = (random.normal(size=SIZE) * 0.2 + label).astype(np.float32)[None]
    return PreparedCase(f"case-{number}", image, label, (1.0, 1.0, 1.0), np.eye(4))


def _trainer(patients: Sequence[int], noise: Noise | None = None, **privacy: Any) -> SharedTrainer:
    config = parse_config(TrainingConfig, _training(), "the test's training section")
    section = parse_config(PatientMechanismConfig, PRIVACY | privacy, "the test's privacy section")
    views = PatientViews(config, [[_scan(number)] for number in patients], "hospital-a", 1)
    return SharedTrainer(Segmenter(config, ("blob",), "cpu"), views, SharedNoise(section, noise))


def _share(trainer: SharedTrainer, round_index: int = 0) -> np.ndarray:
    found = trainer.share(trainer._segmenter.weights(), round_index)
    return np.concatenate([array.ravel() for array in found.values()])


# ---------------------------------------------------------------- shares


def test_without_noise_a_share_is_the_sum_of_the_clipped_gradients_rounded_towards_zero() -> None:
    trainer = _trainer(range(5), noise_multiplier=None)
    step = trainer._mechanism.grid.step
    found = trainer.share(trainer._segmenter.weights(), 0)
    gradients = PatientGradients(trainer._segmenter, trainer._segmenter.config.loss, 4)
    groups = trainer._patients.in_groups(list(range(5)), 4, 0, 0)
    plain = clipped_sum(gradients, groups, trainer._mechanism.patients.clip_factor)
    for name, sums in plain.items():
        assert found[name].dtype == np.int64 and found[name].shape == sums.shape
        assert np.abs(found[name] * step - sums.numpy()).max() <= 5 * step
    assert any(array.any() for array in found.values())


def check_one_patient_moves_a_share_by_at_most(patients: int, bound: float, step: float) -> None:
    everyone, one_less = (_share(_trainer(range(count), noise_multiplier=None)) for count in (patients, patients - 1))
    moved = float(np.linalg.norm((everyone - one_less) * step))
    assert 0.5 * bound < moved <= bound, f"one patient moved the share by {moved:g}"


def test_one_patient_moves_a_share_by_at_most_the_clip_bound() -> None:
    step = _trainer([])._mechanism.grid.step
    for patients in (1, 3, 6):
        check_one_patient_moves_a_share_by_at_most(patients, 0.5, step)


def test_a_missing_clip_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        shared_training, "clipped_sum", lambda g, groups, clip, step: clipped_sum(g, groups, lambda n: 1 / n, step)
    )
    with pytest.raises(AssertionError, match=r"one patient moved the share by 1\b"):
        check_one_patient_moves_a_share_by_at_most(3, 0.5, _trainer([])._mechanism.grid.step)


def test_gradients_that_are_not_put_on_the_grid_one_by_one_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_training, "clipped_sum", lambda g, groups, clip, step: clipped_sum(g, groups, clip))
    with pytest.raises(TrainingError, match="not rounded before it was added"):
        _share(_trainer(range(3)))


def test_rounding_a_gradient_never_lengthens_it() -> None:
    class Fixed:
        def zeros(self) -> dict[str, torch.Tensor]:
            return {"a": torch.zeros(50, dtype=torch.float64)}

        def of(self, views: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"a": views}

    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 50)).astype(np.float32))
    total = clipped_sum(Fixed(), [rows], lambda norms: 1 / norms, 2.0**-4)["a"]  # type: ignore[arg-type, list-item]
    assert 0.5 < float(total.norm()) < 1 and torch.equal(total * 16, torch.round(total * 16))


def test_a_site_without_patients_shares_noise_alone() -> None:
    trainer = _trainer([])
    share, sigma = _share(trainer), trainer._mechanism.grid.sigma
    assert 0.8 * sigma < float(share.std()) < 1.2 * sigma and trainer.steps_taken == 1
    assert not _share(_trainer([], noise_multiplier=None)).any()


def test_each_round_draws_its_own_noise_and_its_own_views() -> None:
    trainer = _trainer(range(2))
    assert np.mean(_share(trainer) == _share(trainer)) < 0.01
    one, other = (_share(_trainer(range(2), FixedNoise(1))) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_only_what_is_trained_is_shared() -> None:
    config = parse_config(TrainingConfig, _training(trainable=("*.bias",)), "the section")
    section = parse_config(PatientMechanismConfig, PRIVACY, "the section")
    views = PatientViews(config, [[_scan(0)]], "hospital-a", 1)
    trainer = SharedTrainer(Segmenter(config, ("blob",), "cpu"), views, SharedNoise(section))
    assert {name.rsplit(".", 1)[1] for name in trainer.share(trainer._segmenter.weights(), 0)} == {"bias"}


def test_a_model_that_is_not_finite_or_of_another_network_is_refused() -> None:
    trainer = _trainer(range(2))
    model = trainer._segmenter.weights()
    name = next(iter(model))
    with pytest.raises(TrainingError, match="not finite"):
        trainer.share(model | {name: np.full_like(model[name], np.nan)}, 0)
    with pytest.raises(ConfigError, match="names and shapes"):
        trainer.share({name: model[name]}, 0)
    assert trainer.steps_taken == 0


# ---------------------------------------------------------------- the trainer process


def shared_setup(site_file: Path, **changes: Any) -> TrainerSetup:
    setup = make_setup(site_file).model_dump(mode="json")
    setup["task"] |= {"training": _training(), "privacy": PRIVACY | changes}
    return parse_config(TrainerSetup, setup, "the test's set-up")


def _ask(trainer: SiteTrainer, header: dict[str, Any], arrays: Any = None) -> Message:
    return trainer.answer(Message(header, arrays or {}), lambda *_: None)


def test_a_trainer_process_answers_a_share_and_the_steps_only(site_file: Path, tmp_path: Path) -> None:
    process = TrainerProcess(shared_setup(site_file), tmp_path / "trainer.log", threads=1)
    try:
        model = process.ask(Message({"command": "initialize"}), lambda: False, lambda header: None).arrays
        answer = process.ask(Message({"command": "train_share", "round": 0}, model), lambda: False, lambda header: None)
    finally:
        process.end()
    assert answer.header == {"event": "result", "steps": 1} and not answer.arrays
    assert set(answer.share) == set(model)
    assert all(array.dtype == np.int64 and array.shape == model[name].shape for name, array in answer.share.items())


def test_a_cohort_without_a_usable_case_shares_noise(site_file: Path) -> None:
    for image in site_file.parent.rglob("*.nii.gz"):
        image.write_bytes(b"")
    trainer = SiteTrainer(shared_setup(site_file))
    model = _ask(trainer, {"command": "initialize"}).arrays
    answer = _ask(trainer, {"command": "train_share", "round": 0}, model)
    assert answer.header == {"event": "result", "steps": 1} and all(array.any() for array in answer.share.values())


def test_rounds_of_the_other_kind_are_refused(site_file: Path) -> None:
    shared = SiteTrainer(shared_setup(site_file))
    model = _ask(shared, {"command": "initialize"}).arrays
    for header in ({"command": "train_private"}, {"command": "train", "validate": False}):
        with pytest.raises((ConfigError, TrainingError), match=r"noise that its sites share|protects each patient"):
            _ask(shared, header | {"round": 0, "num_rounds": 1}, model)
    for other in (make_setup(site_file), shared_setup(site_file, shared_noise=None)):
        with pytest.raises(ConfigError, match="no noise that its sites share"):
            _ask(SiteTrainer(other), {"command": "train_share", "round": 0}, model)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("optimizer", {"name": "SGD", "learning_rate": 0.1}),
        ("schedule", {"name": "constant"}),
        ("average_decay", 0.9),
    ],
)
def test_settings_of_steps_that_nobody_takes_are_refused(name: str, value: Any) -> None:
    task = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": _training(**{name: value})}
    if name == "optimizer":
        task["training"] |= {"optimizer": value}
    with pytest.raises(ConfigError, match=f"training.{name}: with privacy.shared_noise the server takes the step"):
        parse_config(TrainingTask, task | {"privacy": PRIVACY}, "the task")
    parse_config(TrainingTask, task | {"privacy": PRIVACY | {"shared_noise": None}}, "the task")


# ---------------------------------------------------------------- messages


def _through_a_pipe(message: Message) -> Message:
    ours, theirs = Pipe()
    send(ours, message)
    return receive(theirs)


@pytest.mark.parametrize("arrays", [{}, {"kernel": np.array([0.1, -2.5], np.float32)}])
@pytest.mark.parametrize("share", [{}, {"kernel": np.array([[2**53 + 1, -(2**62) - 1]]), "bias": np.array(7)}])
def test_whole_numbers_travel_beside_floats_to_the_last_bit(arrays: Any, share: Any) -> None:
    got = _through_a_pipe(Message({"command": "x"}, arrays, share))
    assert got.header == {"command": "x"}
    for sent, came in ((arrays, got.arrays), (share, got.share)):
        assert set(sent) == set(came)
        for name, array in sent.items():
            assert came[name].dtype == array.dtype and np.array_equal(came[name], array)


def test_a_share_of_floats_is_refused() -> None:
    with pytest.raises(UpdateError, match="kernel of a share should be int64, got float32"):
        _through_a_pipe(Message({}, share={"kernel": np.zeros(3, np.float32)}))  # type: ignore[dict-item]
