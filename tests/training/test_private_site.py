"""A site trainer under a privacy section answers private rounds and initial weights, and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import CohortError, ConfigError, TrainingError
from fedvoxel.training.messages import Message
from fedvoxel.training.setup import TrainerSetup, TrainingTask
from fedvoxel.training.site_trainer import SiteTrainer
from fedvoxel.volumes.plan import PreparedCase, by_patient

from .conftest import make_setup, training_section

PRIVACY = {
    "unit": "patient",
    "clip_norm": 0.5,
    "noise_multiplier": 1.0,
    "sampling_probability": 0.5,
    "steps_per_round": 2,
    "delta": 1e-3,
    "expected_batch": 3,
}


def private_trainer(site_file: Path, **changes: Any) -> SiteTrainer:
    setup = make_setup(site_file).model_dump(mode="json")
    setup["task"]["privacy"] = PRIVACY | changes
    return SiteTrainer(parse_config(TrainerSetup, setup, "the test's set-up"))


def ask(trainer: SiteTrainer, header: dict[str, Any], arrays: Any = None) -> Message:
    return trainer.answer(Message(header, arrays or {}), lambda *_: None)


def test_a_private_round_answers_the_difference_and_the_steps_only(site_file: Path) -> None:
    trainer = private_trainer(site_file)
    model = ask(trainer, {"command": "initialize"}).arrays
    answer = ask(trainer, {"command": "train_private", "round": 0, "num_rounds": 2}, model)
    assert answer.header == {"event": "result", "steps": 2}
    assert set(answer.arrays) == set(model) and all(np.isfinite(array).all() for array in answer.arrays.values())
    again = ask(trainer, {"command": "train_private", "round": 0, "num_rounds": 2}, model)
    assert any(not np.array_equal(again.arrays[name], answer.arrays[name]) for name in model), "noise was repeated"


@pytest.mark.parametrize("header", [{"command": "train", "validate": True}, {"command": "evaluate", "split": "test"}])
def test_what_is_not_private_is_refused(site_file: Path, header: dict[str, Any]) -> None:
    trainer = private_trainer(site_file)
    model = ask(trainer, {"command": "initialize"}).arrays
    with pytest.raises(TrainingError, match="protects each patient"):
        ask(trainer, header, model)


def test_a_private_round_needs_a_privacy_section(site_file: Path) -> None:
    with pytest.raises(ConfigError, match="no privacy section"):
        ask(SiteTrainer(make_setup(site_file)), {"command": "train_private", "round": 0, "num_rounds": 1})


@pytest.mark.parametrize("changes", [{"expected_batch": 500}, {"delta": 0.9}])
def test_no_job_finds_out_how_many_patients_there_are(site_file: Path, changes: dict[str, Any]) -> None:
    trainer = private_trainer(site_file, **changes)
    model = ask(trainer, {"command": "initialize"}).arrays
    assert ask(trainer, {"command": "train_private", "round": 0, "num_rounds": 1}, model).header["steps"] == 2


def test_a_cohort_without_a_usable_case_answers_with_noise(site_file: Path) -> None:
    for image in site_file.parent.rglob("*.nii.gz"):
        image.write_bytes(b"")
    trainer = private_trainer(site_file)
    model = ask(trainer, {"command": "initialize"}).arrays
    answer = ask(trainer, {"command": "train_private", "round": 0, "num_rounds": 1}, model)
    assert answer.header == {"event": "result", "steps": 2} and any(array.any() for array in answer.arrays.values())
    with pytest.raises(CohortError, match="no usable case"):
        SiteTrainer(make_setup(site_file)).prepare()


def test_a_hospital_level_job_starts_and_trains_nothing_on_a_cohort_without_a_usable_case(site_file: Path) -> None:
    for image in site_file.parent.rglob("*.nii.gz"):
        image.write_bytes(b"")
    setup = make_setup(site_file).model_dump(mode="json")
    setup["task"]["privacy"] = {
        "unit": "hospital",
        "clip_norm": 1.0,
        "noise_multiplier": 4.0,
        "sites": 5,
        "delta": 1e-3,
    }
    trainer = SiteTrainer(parse_config(TrainerSetup, setup, "the test's set-up"))
    trainer.prepare()
    model = ask(trainer, {"command": "initialize"}).arrays
    assert not ask(trainer, {"command": "train", "validate": False, "round": 0, "num_rounds": 1}, model).arrays


def test_a_patients_scans_are_one_unit_and_a_case_of_nobody_is_refused() -> None:
    def case(name: str, patient: str | None) -> PreparedCase:
        image, label = np.zeros((1, 2, 2, 2), np.float32), np.zeros((2, 2, 2), np.uint8)
        return PreparedCase(name, image, label, (1.0, 1.0, 1.0), np.eye(4), patient)

    groups = by_patient([case("c1", "p2"), case("c2", "p1"), case("c3", "p2")])
    assert [[one.case for one in group] for group in groups] == [["c2"], ["c1", "c3"]]
    with pytest.raises(CohortError, match="expected a patient"):
        by_patient([case("c1", None)])


def test_steps_that_protect_patients_have_no_proximal_term() -> None:
    task = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": training_section(proximal_mu=0.1)}
    assert parse_config(TrainingTask, task, "the task").training.proximal_mu == 0.1
    with pytest.raises(ConfigError, match="proximal_mu: steps that protect each patient"):
        parse_config(TrainingTask, task | {"privacy": PRIVACY}, "the task")


def test_no_model_is_fine_tuned_where_none_is_scored() -> None:
    training = training_section(personal={"name": "fine_tuned", "steps": 5})
    task = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": training}
    assert parse_config(TrainingTask, task, "the task").training.personal
    hospital = {"unit": "hospital", "clip_norm": 0.5, "noise_multiplier": 3.0, "sites": 3, "delta": 1e-3}
    for section, said in ((hospital, "fine-tuned when its site scores"), (PRIVACY, "steps that protect each patient")):
        with pytest.raises(ConfigError, match=said):
            parse_config(TrainingTask, task | {"privacy": section}, "the task")
