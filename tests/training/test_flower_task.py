"""What a job may say of a Flower app and a site of its list, with or without Flower installed."""

from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.records.canonical import sha256_of
from fedvoxel.training.config import TrainingConfig, check_goes_with_correction
from fedvoxel.training.flower_app import allowed_app
from fedvoxel.training.flower_config import FlowerConfig
from fedvoxel.training.messages import Message
from fedvoxel.training.process import TrainerProcess
from fedvoxel.training.setup import TrainingTask
from fedvoxel.training.trainer import Trainer
from fedvoxel.volumes.site import SiteConfig
from tests.flower_apps import IS_HERE
from tests.private_section import PRIVACY

from .conftest import SIZE, make_setup, training_section

FLOWER = {"app": "unet", "run_config": {"learning-rate": 0.1, "local-epochs": 2, "amp": True, "kind": "sgd"}}


def section(**changes: Any) -> dict[str, Any]:
    plain = {key: training_section()[key] for key in ("network", "sampling", "inference", "seed")}
    return plain | {"flower": FLOWER} | changes


def task(**changes: Any) -> TrainingTask:
    said = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": section()} | changes
    return parse_config(TrainingTask, said, "the test's task")


def test_a_job_names_an_app_and_gives_it_numbers() -> None:
    flower = task().training.flower
    assert flower is not None and flower.app == "unet"
    assert [type(value) for value in flower.run_config.values()] == [float, int, bool, str]


@pytest.mark.parametrize(
    "flower",
    [
        {"app": "package.module:app"},
        {"app": "../app"},
        {"app": ""},
        {"app": "unet", "module": "package.module"},
        {"app": "unet", "run_config": {"layers": [1, 2]}},
        {"app": "unet", "run_config": {"rate": float("nan")}},
        {"app": "unet", "run_config": {"code": "x" * 201}},
    ],
)
def test_a_job_can_say_nothing_else(flower: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        task(training=section(flower=flower))


@pytest.mark.parametrize(
    "ours",
    [
        {"optimizer": {"name": "SGD"}},
        {"epochs_per_round": 2},
        {"augmentation": {"flip_axes": [0]}},
        {"proximal_mu": 0.1},
        {"site_local": ["*.bias"]},
        {"personal": {"name": "ditto"}},
        {"gradient_clip_norm": 1.0},
    ],
)
def test_what_only_our_trainer_goes_by_is_refused_beside_an_app(ours: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"training\.{next(iter(ours))}: the sites' Flower app trains"):
        task(training=section(**ours))


def test_patients_are_not_protected_by_an_app_and_hospitals_are() -> None:
    with pytest.raises(ConfigError, match="it protects no patient; write null, or privacy of the hospital"):
        task(privacy=PRIVACY)
    hospital = {"unit": "hospital", "clip_norm": 1.0, "noise_multiplier": 1.0, "sites": 3, "delta": 1e-3}
    assert task(privacy=hospital).training.flower


def test_a_correction_by_the_server_does_not_go_with_an_app() -> None:
    with pytest.raises(ConfigError, match=r"training\.flower and rounds\.correction"):
        check_goes_with_correction(task().training)


def test_our_own_trainer_does_not_stand_in_for_an_app() -> None:
    trainer = Trainer(task().training, ("blob",), (), "hospital-a", "cpu")
    with pytest.raises(ConfigError, match="cannot stand in"):
        trainer.train_round(trainer.weights(), 0, 1)


def test_a_task_without_an_app_has_the_hash_that_earlier_releases_gave_it() -> None:
    """Sites of two releases train one run together, and a run that was begun goes on after an update."""
    plain = task(training=training_section())
    before = plain.model_dump(mode="json")
    assert before["training"].pop("flower") is None
    assert plain.identity == sha256_of(before)
    assert task().identity != task(training=section(flower={"app": "another"})).identity


@pytest.mark.parametrize("found", ["module", "module:", ":app", "a b:app", "module:app()", "../module:app", "m..n:app"])
def test_a_site_names_an_attribute_of_a_module(found: str) -> None:
    with pytest.raises(ConfigError, match="flower_apps"):
        site(flower_apps={"unet": found})


def site(**changes: Any) -> SiteConfig:
    return parse_config(SiteConfig, {"schema_version": 1, "pseudonym_key": "ab" * 32, **changes}, "the site's own file")


def test_a_site_allows_no_app_if_it_says_nothing() -> None:
    config = FlowerConfig(app="os")
    with pytest.raises(ConfigError, match=r"allows no Flower app 'os'.*flower_apps in local/fedvoxel_site\.json"):
        allowed_app(config, site().flower_apps)
    with pytest.raises(ConfigError, match="allows no Flower app 'os'"):
        allowed_app(config, site(flower_apps={"unet": "os:system"}).flower_apps)


@pytest.mark.skipif(IS_HERE, reason="Flower is installed")
def test_a_site_without_flower_is_told_what_to_install() -> None:
    with pytest.raises(ConfigError, match=r"pip install -c constraints-flower\.txt '\.\[site,flower\]'"):
        allowed_app(FlowerConfig(app="unet"), {"unet": "module:app"})


def test_a_site_that_does_not_allow_the_app_answers_nothing(site_file: Path, tmp_path: Path) -> None:
    setup = make_setup(site_file)
    setup = setup.model_copy(update={"task": task()})
    process = TrainerProcess(setup, tmp_path / "trainer.log", threads=1)
    try:
        for command in ("initialize", "check", "evaluate"):
            with pytest.raises(ConfigError, match="allows no Flower app 'unet'"):
                process.ask(Message({"command": command}), lambda: False, lambda header: None)
    finally:
        process.end()


def test_a_training_section_without_an_app_is_as_it_was() -> None:
    assert parse_config(TrainingConfig, training_section(), "the section").flower is None
    assert section()["sampling"]["size"] == SIZE
