"""Under a privacy section the weights that plain training ends with are not kept, whatever a command asks."""

from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.training.messages import Message
from fedvoxel.training.setup import TrainerSetup
from fedvoxel.training.site_trainer import SiteTrainer

from .conftest import make_setup

HOSPITAL = {"unit": "hospital", "clip_norm": 0.5, "noise_multiplier": 5.0, "sites": 4, "delta": 1e-3}


@pytest.mark.parametrize(("privacy", "kept"), [(None, True), (HOSPITAL, False)], ids=["nobody", "the hospital"])
def test_the_sites_own_model_is_kept_where_nobody_is_protected(privacy: Any, kept: bool, site_file: Path) -> None:
    setup = make_setup(site_file).model_dump(mode="json")
    setup["task"]["privacy"] = privacy
    trainer = SiteTrainer(parse_config(TrainerSetup, setup, "the test's set-up"))
    model = trainer.answer(Message({"command": "initialize"}), lambda *_: None).arrays
    own = site_file.parent / "own.npz"
    header = {"command": "train", "round": 0, "num_rounds": 1, "validate": False, "keep_as": str(own)}
    header |= {"correction": None, "accepted": None}
    assert trainer.answer(Message(header, model), lambda *_: None).arrays
    assert own.is_file() == kept
