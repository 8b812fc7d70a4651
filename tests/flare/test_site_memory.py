"""What a site remembers belongs to one run, whose jobs may be several, and to one training."""

from pathlib import Path

import numpy as np
import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.flare.local_model import local_model_file
from fedvoxel.flare.site_memory import begin_training
from fedvoxel.training.round_memory import RoundMemory
from fedvoxel.training.site_state import SiteState
from fedvoxel.updates.weights_file import save_weights

ARRAYS = {"w": np.ones(3, np.float32)}


def _remember(folder: Path) -> None:
    SiteState(folder, "brains", "codec_memory").propose(0, ARRAYS)
    RoundMemory(folder, "brains", "personal_start").keep(0, ARRAYS)
    save_weights(local_model_file(folder, "brains"), ARRAYS)


def _remembered(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"run.brains.json", "run.brains.json.hashed"}


def test_another_job_of_the_same_run_finds_everything(tmp_path: Path) -> None:
    begin_training(tmp_path, "brains", "run-1", "task")
    _remember(tmp_path)
    before = _remembered(tmp_path)
    begin_training(tmp_path, "brains", "run-1", "task")
    assert _remembered(tmp_path) == before and len(before) == 5


def test_another_run_finds_nothing(tmp_path: Path) -> None:
    begin_training(tmp_path, "brains", "run-1", "task")
    _remember(tmp_path)
    begin_training(tmp_path, "brains", "run-2", "task")
    assert _remembered(tmp_path) == set()


def test_a_run_does_not_change_what_it_trains(tmp_path: Path) -> None:
    begin_training(tmp_path, "brains", "run-1", "task")
    _remember(tmp_path)
    with pytest.raises(ConfigError, match="another training section"):
        begin_training(tmp_path, "brains", "run-1", "another task")
    assert _remembered(tmp_path)


def test_a_note_of_the_version_before_is_of_another_run(tmp_path: Path) -> None:
    (tmp_path / "job.brains.json").write_text('{"job": "run-1"}')
    _remember(tmp_path)
    begin_training(tmp_path, "brains", "run-1", "task")
    assert _remembered(tmp_path) == {"job.brains.json"}


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x15
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["run.brains.json", "run.brains.json.hashed"])
def test_one_damaged_byte_of_the_note_does_not_put_the_site_out(tmp_path: Path, name: str) -> None:
    begin_training(tmp_path, "brains", "0123456789abcdef" * 2, "0123456789abcdef" * 4)
    _remember(tmp_path)
    before = _remembered(tmp_path)
    _damage(tmp_path / name)
    begin_training(tmp_path, "brains", "0123456789abcdef" * 2, "0123456789abcdef" * 4)
    assert _remembered(tmp_path) == before


def test_a_note_that_is_damaged_in_both_files_says_so(tmp_path: Path) -> None:
    begin_training(tmp_path, "brains", "run-1", "task")
    for name in ("run.brains.json", "run.brains.json.hashed"):
        (tmp_path / name).write_bytes(b"{")
    with pytest.raises(ConfigError, match=r"run\.brains\.json .* is damaged, with its copy: put both back"):
        begin_training(tmp_path, "brains", "run-1", "task")
