"""A site's side of secure rounds: once for each round of a run, whatever the server asks again."""

from pathlib import Path

import numpy as np
import pytest
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.config import load_json_config
from fedvoxel.errors import UpdateError
from fedvoxel.flare.agreement import agreed_on
from fedvoxel.flare.messages import NO_ARRAYS, TASK_SECURE_KEYS, TASK_SECURE_SHARES
from fedvoxel.flare.secure_answers import SecureAnswers
from fedvoxel.records.atomic import write_json
from fedvoxel.updates.secure.attempts import SummedRound
from fedvoxel.updates.secure.config import SecureConfig
from fedvoxel.updates.secure.member import Member
from fedvoxel.updates.secure.session import session_name
from fedvoxel.updates.secure.terms import Terms
from tests.updates.secure.secure_sites import TASK, identity, startup

SITES = [f"site-{index}" for index in range(5)]


def _answers(folder: Path) -> SecureAnswers:
    (folder / "kit").mkdir()
    (folder / "kit" / "startup").symlink_to(startup("site-0"))
    (folder / "run").mkdir()
    return SecureAnswers(folder / "kit", folder / "run", TASK)


def _announced(site: str, session: str) -> dict[str, object]:
    return Member(identity(site), session, SecureConfig(), TASK).announce().model_dump(mode="json")


def _message(index: int, **meta: object) -> FLModel:
    said = {"config": {"bits": 16, "dropouts": 1}} | meta
    return FLModel(metrics=dict(NO_ARRAYS), meta=said, current_round=index, total_rounds=9)


def _masks(folder: Path, index: int, attempt: int, signed: list[str] | None = None) -> None:
    """Leaves the note of an attempt in which this site has sent a masked message, and perhaps a signature."""
    path = folder / "run" / "summed_rounds.json"
    before = load_json_config(SummedRound, path, "the note") if path.is_file() else SummedRound()
    noted = before.masked(index, attempt, SITES, 4)
    write_json(path, (noted.signing(signed) if signed else noted).model_dump(mode="json"))


def test_a_round_that_went_into_a_sum_is_begun_again_in_a_later_attempt_only(tmp_path: Path) -> None:
    secure = _answers(tmp_path)
    keys = FLModelUtils.from_shareable(secure.answer(TASK_SECURE_KEYS, _message(4), Terms())).meta["keys"]
    assert (keys["session"], keys["task"]) == ("run#4", TASK)
    _masks(tmp_path, 4, 2)
    for index, attempt in ((0, 1), (3, 9), (4, 1), (4, 2)):
        with pytest.raises(UpdateError, match="give the run a new run_key"):
            secure.answer(TASK_SECURE_KEYS, _message(index, attempt=attempt), Terms())
    again = secure.answer(TASK_SECURE_KEYS, _message(4, attempt=3), Terms())
    told = FLModelUtils.from_shareable(again).meta["keys"]
    assert (
        told["session"] == "run#4#3" and told["mask_key"] != keys["mask_key"] and told["seal_key"] != keys["seal_key"]
    )
    assert secure.answer(TASK_SECURE_KEYS, _message(5), Terms())


def test_a_round_that_the_release_before_summed_up_is_never_begun_again(tmp_path: Path) -> None:
    secure = _answers(tmp_path)
    write_json(tmp_path / "run" / "summed_rounds.json", {"last": 4})
    for index, attempt in ((0, 1), (4, 1), (4, 2)):
        with pytest.raises(UpdateError, match="give the run a new run_key"):
            secure.answer(TASK_SECURE_KEYS, _message(index, attempt=attempt), Terms())
    assert secure.answer(TASK_SECURE_KEYS, _message(5), Terms())


def test_the_messages_of_the_attempt_before_are_refused(tmp_path: Path) -> None:
    secure = _answers(tmp_path)
    announced = [_announced(name, session_name("run", 4)) for name in SITES[1:]]
    own = FLModelUtils.from_shareable(secure.answer(TASK_SECURE_KEYS, _message(4), Terms())).meta["keys"]
    secure.answer(TASK_SECURE_KEYS, _message(4, attempt=2), Terms())
    with pytest.raises(UpdateError, match="has not begun"):
        secure.answer(TASK_SECURE_SHARES, _message(4, roster=[own, *announced]), Terms())
    with pytest.raises(UpdateError, match="another run, round or attempt"):
        secure.answer(TASK_SECURE_SHARES, _message(4, attempt=2, roster=[own, *announced]), Terms())


def test_an_attempt_with_too_few_of_the_same_sites_is_refused_before_a_share_is_dealt(tmp_path: Path) -> None:
    secure = _answers(tmp_path)
    _masks(tmp_path, 4, 1)
    own = FLModelUtils.from_shareable(secure.answer(TASK_SECURE_KEYS, _message(4, attempt=2), Terms())).meta["keys"]
    strangers = [_announced(f"site-{index}", session_name("run", 4, 2)) for index in range(5, 9)]
    with pytest.raises(UpdateError, match="no two sums of the round can be made"):
        secure.answer(TASK_SECURE_SHARES, _message(4, attempt=2, roster=[own, *strangers]), Terms())


@pytest.mark.parametrize("attempt", [0, -1, True, "2", 2.0, None])
def test_an_attempt_is_a_number_from_one(attempt: object, tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="no number from 1"):
        _answers(tmp_path).answer(TASK_SECURE_KEYS, _message(4, attempt=attempt), Terms())


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
