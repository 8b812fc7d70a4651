"""A site's side of secure rounds: once for each round of a run, whatever the server asks again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.config import load_json_config
from fedvoxel.errors import ConfigError, LedgerError, UpdateError
from fedvoxel.flare.agreement import agreed_on
from fedvoxel.flare.messages import NO_ARRAYS, TASK_SECURE_CONFIRM, TASK_SECURE_KEYS, TASK_SECURE_SHARES
from fedvoxel.flare.secure_answers import SecureAnswers
from fedvoxel.records import chain
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


def _masks(folder: Path, index: int, attempt: int) -> None:
    """Leaves the note of an attempt in which this site has sent a masked message."""
    path = folder / "run" / "summed_rounds.json"
    before = load_json_config(SummedRound, path, "the note") if path.is_file() else SummedRound()
    write_json(path, before.masked(index, attempt, SITES, 4, 0).model_dump(mode="json"))


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


class Job:
    """One attempt as site-0 goes through it in a job process of its own; what the other sites say is honest."""

    def __init__(self, folder: Path, others: list[str], index: int, attempt: int) -> None:
        self.secure = SecureAnswers(folder / "kit", folder / "run", TASK)
        self._index, self._attempt, session = index, attempt, session_name("run", index, attempt)
        self._others = {site: Member(identity(site), session, SecureConfig(), TASK) for site in others}

    def keys(self) -> None:
        own = self._told(TASK_SECURE_KEYS)["keys"]
        self._roster = [own, *(member.announce().model_dump(mode="json") for member in self._others.values())]

    def shares(self) -> None:
        dealt = {site: member.share(self._roster).model_dump(mode="json") for site, member in self._others.items()}
        self._dealt = dealt | {"site-0": self._told(TASK_SECURE_SHARES, roster=self._roster)["shares"]}

    def mask(self) -> None:
        said = {"dealt": self._dealt, "bits": 16, "steps": {"w": 1.0}, "attempt": self._attempt}
        message = _message(self._index, secure=said, correction=None)
        self.secure.open(message, {"w": np.zeros(4, np.float32)})
        self.secure.masked(message, 3, lambda most: {"w": np.arange(4)})

    def begun(self) -> "Job":
        self.keys()
        self.shares()
        return self

    def masked(self) -> "Job":
        self.begun().mask()
        return self

    def confirm(self, alive: list[str]) -> Any:
        return self._told(TASK_SECURE_CONFIRM, alive=alive)["confirmation"]

    def _told(self, task: str, **meta: object) -> dict[str, Any]:
        reply = self.secure.answer(task, _message(self._index, attempt=self._attempt, **meta), Terms())
        return dict(FLModelUtils.from_shareable(reply).meta)


def _noted(folder: Path) -> SummedRound:
    return load_json_config(SummedRound, folder / "run" / "summed_rounds.json", "the note")


def test_an_older_job_process_cannot_have_a_second_list_signed(tmp_path: Path) -> None:
    """One that goes on in a round before would roll the note back, and the list that was signed be forgotten."""
    _answers(tmp_path)
    old = Job(tmp_path, SITES[1:4], 4, 1).begun()
    Job(tmp_path, SITES[1:4], 5, 1).masked().confirm(SITES[:4])
    with pytest.raises(UpdateError, match="round 4 went into a sum"):
        old.mask()
    assert (_noted(tmp_path).last, _noted(tmp_path).signed) == (5, tuple(SITES[:4]))
    again = Job(tmp_path, SITES[1:4], 5, 2).masked()
    with pytest.raises(UpdateError, match="not of the same"):
        again.confirm(SITES[:3])
    assert again.confirm(SITES[:4])


@pytest.mark.parametrize("damaged", ["summed_rounds.json", "summed_rounds.json.hashed"])
def test_a_changed_byte_makes_a_site_forget_no_signature_and_refuse_no_later_round(
    damaged: str, tmp_path: Path
) -> None:
    _answers(tmp_path)
    Job(tmp_path, SITES[1:4], 5, 1).masked().confirm(SITES[:4])
    path = tmp_path / "run" / damaged
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    again = Job(tmp_path, SITES[1:4], 5, 2).masked()
    with pytest.raises(UpdateError, match="not of the same"):
        again.confirm(SITES[:3])
    Job(tmp_path, SITES[1:4], 6, 1).masked()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_site_whose_note_and_its_copy_have_changed_takes_no_part(tmp_path: Path) -> None:
    _answers(tmp_path)
    Job(tmp_path, SITES[1:4], 5, 1).masked()
    for path in (tmp_path / "run").glob("summed_rounds.json*"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ConfigError, match="the site's last sum"):
        Job(tmp_path, SITES[1:4], 6, 1).keys()


def test_what_the_release_before_has_signed_meanwhile_counts(tmp_path: Path) -> None:
    """It writes the file alone, and the copy beside it is older."""
    _answers(tmp_path)
    Job(tmp_path, SITES[1:4], 5, 1).masked()
    write_json(tmp_path / "run" / "summed_rounds.json", {"last": 7})
    with pytest.raises(UpdateError, match="round 6 went into a sum"):
        Job(tmp_path, SITES[1:4], 6, 2).keys()


def test_two_job_processes_mask_an_attempt_once(tmp_path: Path) -> None:
    _answers(tmp_path)
    one, two = (Job(tmp_path, SITES[1:4], 5, 1).begun() for _ in range(2))
    one.mask()
    with pytest.raises(UpdateError, match="went into a sum"):
        two.mask()
    assert len(_noted(tmp_path).attempts) == 1


def test_what_another_process_has_masked_meanwhile_counts_for_the_roster(tmp_path: Path) -> None:
    _answers(tmp_path)
    later = Job(tmp_path, ["site-5", "site-6", "site-7"], 5, 2).begun()
    Job(tmp_path, SITES[1:4], 5, 1).masked()
    with pytest.raises(UpdateError, match="no two sums of the round can be made"):
        later.mask()


@pytest.mark.parametrize("later", [(5, 2), (6, 1)])
def test_an_older_job_process_signs_nothing_once_a_later_one_has_masked(later: tuple[int, int], tmp_path: Path) -> None:
    _answers(tmp_path)
    old = Job(tmp_path, SITES[1:4], 5, 1).masked()
    Job(tmp_path, SITES[1:4], *later).masked()
    with pytest.raises(UpdateError, match="a signature asked for in attempt 1 at round 5"):
        old.confirm(SITES[:4])
    assert _noted(tmp_path).signed is None


def test_the_note_is_read_checked_and_written_as_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody else decides, this process waits; a process that was left behind holds nothing in between."""
    monkeypatch.setattr(chain, "LOCK_TIMEOUT_S", 0.2)
    _answers(tmp_path)
    other, job = chain.Chain(tmp_path / "run" / "summed_rounds.json"), Job(tmp_path, SITES[1:4], 5, 1).begun()
    with other.held(), pytest.raises(LedgerError, match="locked by another process"):
        job.mask()
    assert not (tmp_path / "run" / "summed_rounds.json").exists()
    job = Job(tmp_path, SITES[1:4], 5, 1).masked()
    with other.held(), pytest.raises(LedgerError, match="locked by another process"):
        job.confirm(SITES[:4])
    assert _noted(tmp_path).signed is None and job.confirm(SITES[:4])


def test_a_site_that_refuses_a_roster_is_out_of_the_attempt(tmp_path: Path) -> None:
    """The server knows what the others dealt, and could go on as if this site had dealt too."""
    _answers(tmp_path)
    Job(tmp_path, SITES[1:4], 5, 1).masked()
    other = Job(tmp_path, ["site-5", "site-6", "site-7"], 5, 2)
    other.keys()
    with pytest.raises(UpdateError, match="no two sums"):
        other.shares()
    message = _message(5, secure={"dealt": {}, "bits": 16, "steps": {"w": 1.0}, "attempt": 2}, correction=None)
    with pytest.raises(UpdateError, match="has not begun"):
        other.secure.open(message, {"w": np.zeros(4, np.float32)})


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
