"""A trainer puts on record whom it is about to use, before it uses anybody, and only who is admitted."""

from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import LedgerError
from fedvoxel.training.messages import Message
from fedvoxel.training.site_trainer import SiteTrainer
from fedvoxel.volumes.exclusions import Exclusions
from fedvoxel.volumes.site import load_site_config
from fedvoxel.volumes.used_patients import uses_of

from .conftest import make_setup, write_site


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    local = tmp_path / "kit" / "local"
    local.mkdir(parents=True)
    return write_site(local)


def trainer(site_file: Path) -> SiteTrainer:
    folder = site_file.parent.parent / "state" / "runs" / "spring"
    folder.mkdir(parents=True, exist_ok=True)
    return SiteTrainer(make_setup(site_file).model_copy(update={"state_folder": str(folder)}))


def trained(made: SiteTrainer, site_file: Path) -> Any:
    model = made.answer(Message({"command": "initialize"}), lambda *_: None).arrays
    header = {"command": "train", "round": 0, "num_rounds": 1, "validate": False, "correction": None, "accepted": None}
    keep_as = str(site_file.parent / "own.npz")
    return made.answer(Message({**header, "keep_as": keep_as}, model), lambda *_: None).header


def patients(made: SiteTrainer) -> set[str]:
    return {str(case.patient) for case in made.cases("training")}


def test_who_is_trained_on_is_on_record_and_nobody_else(site_file: Path) -> None:
    made = trainer(site_file)
    made.prepare()
    assert uses_of(patients(made), site_file.parent).runs == ()
    trained(made, site_file)
    uses = uses_of(patients(made), site_file.parent).runs
    assert [(run.run_key, run.use, run.cohort) for run in uses] == [("spring", "trained", "blobs")]
    others = {str(case.patient) for case in made.cases("test")}
    assert uses_of(others, site_file.parent).runs == ()


def test_who_cannot_be_recorded_is_not_trained_on(site_file: Path) -> None:
    made = trainer(site_file)
    made.prepare()
    (site_file.parent.parent / "state" / "runs" / "spring" / "patients").write_text("in the way")
    with pytest.raises(LedgerError):
        trained(made, site_file)
    assert not (site_file.parent / "own.npz").exists()


def test_who_is_out_is_not_loaded(site_file: Path) -> None:
    made = trainer(site_file)
    count, first = trained(made, site_file)["case_count"], min(patients(made))
    Exclusions(load_site_config(site_file), site_file.parent).exclude([first])
    again = trainer(site_file)
    assert trained(again, site_file)["case_count"] == count - 1 and first not in patients(again)
