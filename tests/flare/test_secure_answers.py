"""A site's side of secure rounds: once for each round of a run, whatever the server asks again."""

from pathlib import Path

import numpy as np
import pytest
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import UpdateError
from fedvoxel.flare.agreement import agreed_on
from fedvoxel.flare.messages import NO_ARRAYS, TASK_SECURE_KEYS, TASK_SECURE_SHARES
from fedvoxel.flare.secure_answers import SecureAnswers
from fedvoxel.records.atomic import write_json
from fedvoxel.updates.secure.terms import Terms
from tests.updates.secure.secure_sites import TASK, startup


def _answers(folder: Path) -> SecureAnswers:
    (folder / "kit").mkdir()
    (folder / "kit" / "startup").symlink_to(startup("site-0"))
    (folder / "run").mkdir()
    return SecureAnswers(folder / "kit", folder / "run", TASK)


def _message(index: int, **meta: object) -> FLModel:
    said = {"config": {"bits": 16, "dropouts": 1}} | meta
    return FLModel(metrics=dict(NO_ARRAYS), meta=said, current_round=index, total_rounds=9)


def test_a_round_that_went_into_a_sum_is_not_begun_again(tmp_path: Path) -> None:
    secure = _answers(tmp_path)
    keys = FLModelUtils.from_shareable(secure.answer(TASK_SECURE_KEYS, _message(4), Terms())).meta["keys"]
    assert (keys["session"], keys["task"]) == ("run#4", TASK)
    write_json(tmp_path / "run" / "summed_rounds.json", {"last": 4})
    for index in (0, 4):
        with pytest.raises(UpdateError, match="give the run a new run_key"):
            secure.answer(TASK_SECURE_KEYS, _message(index), Terms())
    assert secure.answer(TASK_SECURE_KEYS, _message(5), Terms())


def test_a_step_of_another_round_is_not_taken(tmp_path: Path) -> None:
    secure = _answers(tmp_path)
    secure.answer(TASK_SECURE_KEYS, _message(4), Terms())
    with pytest.raises(UpdateError, match="has not begun"):
        secure.answer(TASK_SECURE_SHARES, _message(5, roster=[]), Terms())
    with pytest.raises(UpdateError, match="without roster"):
        secure.answer(TASK_SECURE_SHARES, _message(4), Terms())


def test_sites_agree_only_if_they_were_told_the_same() -> None:
    def agreed(
        bits: int = 16, step: float = 1.0, value: float = 0.5, rounds: int = 9, correction: object = None
    ) -> bytes:
        said = {"secure": {"bits": bits, "steps": {"w": step}}, "correction": correction}
        message = FLModel(metrics=dict(NO_ARRAYS), meta=said, current_round=3, total_rounds=rounds)
        return agreed_on(message, {"w": np.full(3, value, np.float32)})

    others = [agreed(17), agreed(step=2.0), agreed(value=0.25), agreed(rounds=8), agreed(correction={"name": "feddyn"})]
    assert agreed() == agreed() and len({agreed(), *others}) == 6
