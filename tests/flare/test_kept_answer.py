"""A round that is asked again is answered from what is kept, and only where the very same was asked."""

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.flare import executor as executor_module
from fedvoxel.flare.executor import SiteExecutor
from fedvoxel.flare.kept_answer import KeptAnswer, kept_answer_file
from fedvoxel.flare.messages import error_of
from fedvoxel.privacy.policy import NoBudget
from fedvoxel.training.messages import Message
from fedvoxel.volumes.exclusions import ANCHOR_FILE
from tests.flare.test_executor import BUDGET, MODEL, OWN, FakeTrainer, Hospital

RUN = "ab" * 16
COMMAND = {"command": "train", "round": 3}
BASIS = "cd" * 32


@pytest.fixture
def hospital(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hospital:
    monkeypatch.setattr(executor_module, "TrainerProcess", FakeTrainer)
    made = Hospital(tmp_path)
    made.site.add("open", "p1,p2", NoBudget())
    return made


def _asked(hospital: Hospital, **meta: Any) -> tuple[Any, int]:
    """Asks for a round in a job of its own, and returns the reply and how often its trainer was asked to train."""
    executor: SiteExecutor = hospital.executor("open")
    reply = hospital.answer(executor, "train", **{"run_id": RUN, "current_round": 3, "total_rounds": 9} | meta)
    assert isinstance(executor._process, FakeTrainer)
    return reply, executor._process.told.count("train")


def test_the_next_job_of_the_run_gets_the_same_answer_without_training(hospital: Hospital) -> None:
    first, trained = _asked(hospital)
    hospital.job = "the next attempt"
    again, trained_again = _asked(hospital)
    assert (trained, trained_again) == (1, 0)
    one, two = FLModelUtils.from_shareable(first), FLModelUtils.from_shareable(again)
    assert np.array_equal(one.params["conv.weight"], two.params["conv.weight"]) and one.meta == two.meta
    kept = kept_answer_file(hospital.root / "state/runs/run", "open")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def _without_a_patient(hospital: Hospital) -> None:
    hospital.site.add("open", "p1", NoBudget())


def _with_one_excluded(hospital: Hospital) -> None:
    (hospital.site.local / ANCHOR_FILE).write_text("grown")


def _with_other_arrays(hospital: Hospital) -> None:
    path = kept_answer_file(hospital.root / "state/runs/run", "open")
    path.write_bytes(path.read_bytes()[:-1] + b"x")


def _with_another_number_of_cases(hospital: Hospital) -> None:
    path = kept_answer_file(hospital.root / "state/runs/run", "open")
    assert b'"case_count":5' in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b'"case_count":5', b'"case_count":7'))


CHANGES = [_without_a_patient, _with_one_excluded, _with_other_arrays, _with_another_number_of_cases]


@pytest.mark.parametrize("change", CHANGES)
def test_on_other_cases_or_after_damage_the_round_is_trained_again(change: Any, hospital: Hospital) -> None:
    _asked(hospital)
    change(hospital)
    assert _asked(hospital)[1] == 1


@pytest.mark.parametrize(
    "other",
    [
        {"current_round": 4},
        {"total_rounds": 8},
        {"run_id": "cd" * 16},
        {"validate": True},
        {"accepted": {"hospital-a": 2}},
        {"correction": {"name": "feddyn", "alpha": 0.1}},
    ],
)
def test_another_question_is_trained(other: dict[str, Any], hospital: Hospital) -> None:
    _asked(hospital)
    assert _asked(hospital, **other)[1] == 1
    assert _asked(hospital, **other)[1] == 0


def test_what_is_kept_leaves_by_the_policy_of_now(hospital: Hospital) -> None:
    executor, asked = hospital.executor("open"), {"run_id": RUN, "current_round": 3}
    hospital.answer(executor, "train", **asked)
    hospital.site.add("open", "p1,p2", BUDGET)
    assert "declined" in error_of(hospital.answer(executor, "train", **asked))


def test_another_model_is_trained_from(tmp_path: Path) -> None:
    kept, times = KeptAnswer(tmp_path, "open"), []

    def train() -> Message:
        times.append(1)
        return Message({"case_count": 5}, OWN)

    for model in (MODEL, MODEL, OWN):
        assert kept.of(BASIS, COMMAND, model, train).header == {"case_count": 5}
    assert len(times) == 2


def test_an_answer_without_arrays_is_kept_too(tmp_path: Path) -> None:
    kept = KeptAnswer(tmp_path, "open")
    kept.of(BASIS, COMMAND, MODEL, lambda: Message({"case_count": 0}))
    assert kept.of(BASIS, COMMAND, MODEL, _never) == Message({"case_count": 0})


def test_without_a_basis_nothing_is_kept(tmp_path: Path) -> None:
    kept = KeptAnswer(tmp_path, "open")
    kept.of(None, COMMAND, MODEL, lambda: Message({}, OWN))
    assert not kept_answer_file(tmp_path, "open").exists()


def test_the_next_round_s_task_ends_what_was_kept(tmp_path: Path) -> None:
    kept = KeptAnswer(tmp_path, "open")
    kept.of(BASIS, COMMAND, MODEL, lambda: Message({}, OWN))

    def fails() -> Message:
        assert not kept_answer_file(tmp_path, "open").exists()
        return Message({}, OWN)

    kept.of(BASIS, COMMAND | {"round": 4}, MODEL, fails)


def test_a_full_disk_costs_no_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedvoxel.flare.kept_answer.write_bytes", full)
    answer = KeptAnswer(tmp_path, "open").of(BASIS, COMMAND, MODEL, lambda: Message({}, OWN))
    assert answer.arrays == OWN and list(tmp_path.iterdir()) == []


def _never() -> Message:
    raise AssertionError("asked to train")
