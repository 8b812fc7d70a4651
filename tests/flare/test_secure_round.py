"""Secure rounds over the controller: who breaks the protocol stands in outcome and audit, by name and reason."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, Task
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.fuel.utils import fobs

from fedvoxel.config import load_json_config
from fedvoxel.errors import ConsortiumError
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.flare.controller import FedAvgController
from fedvoxel.flare.messages import (
    SECURE_TASKS,
    TASK_INITIALIZE,
    TASK_SECURE_CONFIRM,
    TASK_SECURE_KEYS,
    TASK_SECURE_REVEAL,
    TASK_TRAIN,
    error_reply,
    result_reply,
)
from fedvoxel.flare.secure_answers import SecureAnswers
from fedvoxel.flare.secure_round import NOT_IN_SUM
from fedvoxel.flare.site_protection import terms_of
from fedvoxel.governance.fetched_list import take_up_list
from fedvoxel.privacy.policy import NoBudget, PrivacyPolicy, write_privacy_policy
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.revocation import LIST_FILE
from fedvoxel.updates.secure.attempts import SummedRound
from fedvoxel.updates.secure.terms import Terms
from tests.approval_kits import Hospital
from tests.updates.secure.secure_sites import TASK, authority, startup

from .test_controller import FakeSites, from_peer, panics_of, run_sites, well_behaved

SITES = [f"site-{index}" for index in range(5)]
LIAR = "site-2"
MODEL = {"w": np.zeros(40, np.float32)}
OTHER_SHARE = "ab" * 16

Lie = Callable[[Shareable], Shareable]
"""Makes what a site sends out of what an honest one would."""


class SecureSites(FakeSites):
    """Are honest members of secure rounds, but for the lies that some tell in answer to some tasks."""

    def __init__(self, controller: FedAvgController, _: Any, folder: Path, lies: dict[tuple[str, str], Lie]) -> None:
        super().__init__(controller, {})
        self._lies, self._members = lies, {site: _member(folder, site, controller.run_key) for site in SITES}
        self.up = self.down = 0

    def broadcast(self, task: Task, fl_ctx: FLContext, targets: list[str], *_: Any) -> None:
        for site in targets:
            self._controller.handle_event(EventType.BEFORE_TASK_DATA_FILTER, from_peer(site))
            reply = self._answer(site, task)
            lie = self._lies.get((site, task.name))
            answered = ClientTask(Client(site, ""), task)
            answered.result = lie(reply) if lie else reply
            assert task.result_received_cb
            task.result_received_cb(answered, fl_ctx)

    def _answer(self, site: str, task: Task) -> Shareable:
        message, member = FLModelUtils.from_shareable(task.data), self._members[site]
        if task.name == TASK_INITIALIZE:
            return result_reply({}, MODEL, difference=False)
        if task.name in SECURE_TASKS:
            return member.answer(task.name, message, Terms())
        if task.name != TASK_TRAIN:
            return well_behaved(task.name)[0]
        member.open(message, message.params)
        masked = member.masked(message, 10, lambda most: {"w": np.arange(40)})
        named = {"run_key": self._controller.run_key, "round": int(message.current_round or 0)}
        return result_reply({"case_count": 1} | named, masked, difference=True)


def _member(folder: Path, site: str, run_key: str) -> SecureAnswers:
    kit, state = folder / site, folder / site / "runs" / run_key
    state.mkdir(parents=True, exist_ok=True)
    if not (kit / "startup").exists():
        (kit / "startup").symlink_to(startup(site))
    return SecureAnswers(kit, state, TASK)


def _run(
    folder: Path,
    lies: dict[tuple[str, str], Lie],
    rounds: int = 2,
    sites: Sequence[str] = SITES,
    lists: Mapping[str, bytes] | None = None,
    run: Any = run_sites,
) -> Any:
    """Returns the run's outcome; or its panics, where `run` is `panics_of`."""
    shutil.copytree(startup(SITES[0]), folder / "startup", dirs_exist_ok=True)
    for place, content in (lists or {}).items():
        (folder / place / LIST_FILE).write_bytes(content)
    kind: Any = partial(SecureSites, folder=folder / "kits", lies=lies)
    section = {"secure_aggregation": {"bits": 16, "dropouts": 1}, "max_cases_per_site": 100, "num_rounds": rounds}
    return run(folder, dict.fromkeys(sites, well_behaved), kind, min_sites=3, **section)


def _changed(key: str, **values: Any) -> Lie:
    """Changes what a reply says under `key`; a function makes the new value of the old one."""

    def lie(reply: Shareable) -> Shareable:
        said = reply["DXO"]["meta"][key]
        said |= {name: value(said[name]) if callable(value) else value for name, value in values.items()}
        return reply

    return lie


def _audited(folder: Path) -> list[tuple[str, str, str, int | None]]:
    return [
        (event.site, event.outcome, event.task, event.round)
        for _, event in AuditLog(folder / "state").read()
        if event.outcome in ("refused", "missing") and event.task not in ("validation", "test")
    ]


AFTER_THE_SUM: dict[str, tuple[str, Lie]] = {
    "does not match what was dealt": (
        TASK_SECURE_REVEAL,
        _changed("revealed", seeds=lambda seeds: seeds | {SITES[0]: OTHER_SHARE}),
    ),
    "shares that were not asked for": (TASK_SECURE_REVEAL, _changed("revealed", keys={SITES[0]: OTHER_SHARE})),
    "a seed that is not the one": (TASK_SECURE_REVEAL, _changed("revealed", own=OTHER_SHARE)),
    "has not signed": (TASK_SECURE_CONFIRM, _changed("confirmation", signature=lambda told: told[:-4] + "abcd")),
}
"""Lies of a site whose update is in the sum, by what is said of them."""


@pytest.mark.parametrize("said", AFTER_THE_SUM)
def test_a_site_in_the_sum_that_lies_afterwards_stands_in_outcome_and_audit(said: str, tmp_path: Path) -> None:
    task, lie = AFTER_THE_SUM[said]
    outcome = _run(tmp_path, {(LIAR, task): lie})
    assert (outcome.status, outcome.rounds_committed) == ("finished", 2), outcome.reason
    for record in outcome.rounds:
        assert set(record.contributed) == set(SITES) and not record.refused and not record.missing
        assert set(record.afterwards.refused) == {LIAR} and said in record.afterwards.refused[LIAR]
    assert _audited(tmp_path) == [(LIAR, "refused", "secure_aggregation", index) for index in (0, 1)]


def test_a_site_that_vanishes_after_masking_is_in_the_sum_and_in_the_record(tmp_path: Path) -> None:
    outcome = _run(tmp_path, {(LIAR, TASK_SECURE_CONFIRM): lambda _: error_reply("no memory")}, rounds=1)
    (record,) = outcome.rounds
    assert LIAR in record.contributed and record.afterwards.missing == {LIAR: "no memory"}
    assert _audited(tmp_path) == [(LIAR, "missing", "secure_aggregation", 0)]


def test_a_site_that_lies_before_the_sum_is_refused_and_not_in_it(tmp_path: Path) -> None:
    outcome = _run(tmp_path, {(LIAR, TASK_SECURE_KEYS): _changed("keys", mask_key="11" * 32)}, rounds=1)
    (record,) = outcome.rounds
    assert set(record.contributed) == set(SITES) - {LIAR} and set(record.refused) == {LIAR}
    assert _audited(tmp_path) == [(LIAR, "refused", "train", 0)]


@pytest.mark.parametrize("place", ["startup", "state/certificates"])
def test_a_revoked_site_is_in_no_sum(tmp_path: Path, place: str) -> None:
    """By the list in the server's kit, or by the last good one that the server keeps, whatever the kit has since."""
    (tmp_path / "state" / "certificates").mkdir(parents=True)
    crl = authority().list_of(startup(LIAR) / "client.crt").public_bytes(serialization.Encoding.PEM)
    outcome = _run(tmp_path, {}, rounds=1, lists={"startup": b"damaged"} | {place: crl})
    (record,) = outcome.rounds
    assert set(record.contributed) == set(SITES) - {LIAR}
    assert "that is revoked" in record.refused[LIAR]
    assert _audited(tmp_path) == [(LIAR, "refused", "train", 0)]


def test_a_site_asks_for_what_its_own_kit_says_of_revocations(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path)
    write_privacy_policy(hospital.kit.local, PrivacyPolicy(schema_version=1, cohorts={"blobs": NoBudget()}))
    assert terms_of(hospital.kit.folder, "blobs", None).lists == ()
    crl = authority().list_of(number=7)
    (hospital.kit.startup / LIST_FILE).write_bytes(crl.public_bytes(serialization.Encoding.PEM))
    assert terms_of(hospital.kit.folder, "blobs", None).lists == (crl,)
    (hospital.kit.startup / LIST_FILE).write_bytes(b"damaged")
    with pytest.raises(ConsortiumError, match="revocation list"):
        terms_of(hospital.kit.folder, "blobs", None)
    hospital.revoke()
    take_up_list(hospital.kit, (hospital.kit.startup / LIST_FILE).read_bytes())
    (hospital.kit.startup / LIST_FILE).unlink()
    with pytest.raises(ConsortiumError, match="is gone"):
        terms_of(hospital.kit.folder, "blobs", None)


def test_a_secure_round_that_fails_is_recorded_with_all_who_made_it_fail(tmp_path: Path) -> None:
    lie = _changed("revealed", keys={SITES[0]: OTHER_SHARE})
    outcome = _run(tmp_path, {("site-2", TASK_SECURE_REVEAL): lie, ("site-3", TASK_SECURE_REVEAL): lie})
    assert (outcome.status, outcome.rounds_committed) == ("failed", 0)
    assert "3 sites have revealed shares, 4 are needed" in str(outcome.reason) and "site-3" in str(outcome.reason)
    (record,) = outcome.rounds
    assert set(record.contributed) == set(SITES) and set(record.afterwards.refused) == {"site-2", "site-3"}
    assert _audited(tmp_path) == [(site, "refused", "secure_aggregation", 0) for site in ("site-2", "site-3")]


def test_keys_shares_and_signatures_are_counted_beside_the_updates(tmp_path: Path) -> None:
    told: list[int] = []

    def counted(reply: Shareable) -> Shareable:
        model = FLModelUtils.from_shareable(reply)
        (key,) = {"keys", "shares", "confirmation", "revealed"} & set(model.meta)
        told.append(len(fobs.dumps({key: model.meta[key]})))
        return reply

    outcome = _run(tmp_path, {(site, task): counted for site in SITES for task in SECURE_TASKS}, rounds=1)
    (record,) = outcome.rounds
    assert len(told) == 5 * len(SECURE_TASKS) and record.secure_bytes_up == sum(told)
    assert record.bytes_up == 5 * (21 + 4 * 40) and record.bytes_down == 5 * MODEL["w"].nbytes
    assert record.secure_bytes_down > sum(told), "each is told what all have said"


class Killed(BaseException):
    """Ends the server's job process, as far as the run can tell."""


def _dies(index: int) -> Lie:
    """Has the server die when this reply of a round arrives."""

    def lie(reply: Shareable) -> Shareable:
        told = reply["DXO"]["meta"]
        if told.get("round", index) == index:
            raise Killed
        return reply

    return lie


def _killed(folder: Path, site: str, task: str, rounds: int = 1) -> None:
    """Runs until a site's reply to a task of the last round arrives, and has the server die there."""
    with pytest.raises(Killed):
        _run(folder, {(site, task): _dies(rounds - 1)}, rounds)


def _noted(folder: Path, site: str) -> SummedRound:
    noted = folder / "kits" / site / "runs" / "a_run" / "summed_rounds.json"
    return load_json_config(SummedRound, noted, "the note")


def _whole(folder: Path, rounds: int) -> RunOutcome:
    folder.mkdir()
    return _run(folder, {}, rounds)


@pytest.mark.parametrize("task", [TASK_SECURE_KEYS, TASK_TRAIN, TASK_SECURE_CONFIRM, TASK_SECURE_REVEAL])
def test_a_round_in_which_the_server_dies_is_begun_again(task: str, tmp_path: Path) -> None:
    whole = _whole(tmp_path / "whole", 1)
    (folder := tmp_path / "died").mkdir()
    _killed(folder, SITES[3], task)
    outcome = _run(folder, {}, 1)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 1), outcome.reason
    assert set(outcome.rounds[0].contributed) == set(SITES) and len(outcome.attempts) == 2
    assert outcome.model and whole.model and outcome.model.sha256 == whole.model.sha256
    masked = 2 if task != TASK_SECURE_KEYS else 1
    assert (_noted(folder, SITES[0]).attempt, len(_noted(folder, SITES[0]).attempts)) == (2, masked)


def test_a_later_round_is_begun_again_from_the_committed_one(tmp_path: Path) -> None:
    whole = _whole(tmp_path / "whole", 3)
    (folder := tmp_path / "died").mkdir()
    _killed(folder, SITES[3], TASK_TRAIN, 3)
    outcome = _run(folder, {}, 3)
    assert (outcome.status, outcome.repeated_rounds) == ("finished", (2,)), outcome.reason
    assert outcome.model and whole.model and outcome.model.sha256 == whole.model.sha256


def test_the_rounds_after_the_one_that_was_begun_again_have_the_name_of_a_first_attempt(tmp_path: Path) -> None:
    """A site of release 0.1.0 knows no other, and can take part in them."""
    with pytest.raises(Killed):
        _run(tmp_path, {(SITES[3], TASK_TRAIN): _dies(0)}, 3)
    sessions: list[str] = []

    def told(reply: Shareable) -> Shareable:
        sessions.append(FLModelUtils.from_shareable(reply).meta["keys"]["session"])
        return reply

    outcome = _run(tmp_path, {(SITES[0], TASK_SECURE_KEYS): told}, 3)
    assert (outcome.status, sessions) == ("finished", ["a_run#0#2", "a_run#1", "a_run#2"]), outcome.reason


def test_a_site_may_be_gone_where_nobody_had_signed(tmp_path: Path) -> None:
    _killed(tmp_path, SITES[3], TASK_TRAIN)
    outcome = _run(tmp_path, {}, 1, SITES[:-1])
    assert (outcome.status, set(outcome.rounds[0].contributed)) == ("finished", set(SITES[:-1])), outcome.reason


def _missed(site: str) -> dict[tuple[str, str], Lie]:
    """Has a site's update of the first round come too late."""

    def lie(reply: Shareable) -> Shareable:
        return error_reply("missed the deadline") if reply["DXO"]["meta"]["round"] == 0 else reply

    return {(site, TASK_TRAIN): lie}


@pytest.mark.parametrize("task", [TASK_SECURE_CONFIRM, TASK_SECURE_REVEAL])
def test_a_site_that_comes_back_stays_out_where_a_sum_without_it_was_to_be_signed(task: str, tmp_path: Path) -> None:
    (folder := tmp_path / "died").mkdir()
    with pytest.raises(Killed):
        _run(folder, _missed(SITES[4]) | {(SITES[3], task): _dies(0)}, 2)
    assert _noted(folder, SITES[0]).signed == tuple(SITES[:4])
    outcome = _run(folder, {}, 2)
    assert (outcome.status, outcome.rounds_committed) == ("finished", 2), outcome.reason
    again, later = outcome.rounds
    assert set(again.contributed) == set(SITES[:4]) and set(later.contributed) == set(SITES)
    assert again.not_selected == {SITES[4]: NOT_IN_SUM} and not later.not_selected
    (tmp_path / "whole").mkdir()
    whole = _run(tmp_path / "whole", _missed(SITES[4]), 2)
    assert outcome.model and whole.model and outcome.model.sha256 == whole.model.sha256


def test_too_few_of_those_who_may_have_signed_end_the_attempt_before_anybody_trains(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        _run(tmp_path, _missed(SITES[4]) | {(SITES[3], TASK_SECURE_REVEAL): _dies(0)}, 1)
    panics = _run(tmp_path, {}, 1, [SITES[0], SITES[1], SITES[4]], run=panics_of)
    assert "2 of the 4 sites that an earlier attempt asked" in panics[0] and "when enough sites are" in panics[0]
    assert len(_noted(tmp_path, SITES[0]).attempts) == 1, "nothing was masked"
    assert _run(tmp_path, {}, 1).status == "finished"


def test_the_list_that_was_signed_first_stands_until_its_sites_are_back(tmp_path: Path) -> None:
    """An attempt that lacks one of them fails, and has not made its own list the one to go by."""
    _killed(tmp_path, SITES[3], TASK_SECURE_REVEAL)
    outcome = _run(tmp_path, _missed(SITES[4]), 1)
    assert outcome.status == "failed" and "submit the same job again once all of these are back" in str(outcome.reason)
    outcome = _run(tmp_path, {}, 1)
    assert (outcome.status, set(outcome.rounds[0].contributed)) == ("finished", set(SITES)), outcome.reason


def test_the_same_sites_are_needed_where_the_sum_was_signed(tmp_path: Path) -> None:
    """Two sums of one round over five sites and over four would tell the fifth one's update."""
    _killed(tmp_path, SITES[3], TASK_SECURE_REVEAL)
    assert _noted(tmp_path, SITES[0]).signed == tuple(SITES)
    outcome = _run(tmp_path, {(SITES[4], TASK_TRAIN): lambda _: error_reply("no memory")}, 1)
    assert (outcome.status, outcome.rounds_committed) == ("failed", 0)
    assert "a sum of 5 sites before, and this one is not of the same" in str(outcome.reason)
    assert _noted(tmp_path, SITES[0]).signed == tuple(SITES), "still bound to the first list"
