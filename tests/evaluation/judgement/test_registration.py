from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError, LedgerError
from fedvoxel.evaluation.judgement.registration import FILE, Plan, Question, note_result, state_plan

QUESTION = Question(package="a" * 64, other="b" * 64, cohort="liver", split="test", hospitals=("hospital-a",))
PLAN = Plan(metric="dice", margin=0.02)


def test_a_margin_may_be_changed_until_there_is_a_result(tmp_path: Path) -> None:
    state_plan(tmp_path, QUESTION, PLAN)
    wider = Plan(metric="dice", margin=0.05)
    first = state_plan(tmp_path, QUESTION, wider)
    note_result(tmp_path, QUESTION)
    assert state_plan(tmp_path, QUESTION, wider) == first
    with pytest.raises(
        ConfigError, match=r"result already, under a margin of 0.05 for dice, stated at .*; a margin of"
    ):
        state_plan(tmp_path, QUESTION, PLAN)


@pytest.mark.parametrize(
    "other",
    [
        Plan(metric="nsd", margin=0.02, tolerance_mm=1.0),
        Plan(metric="dice", margin=0.03),
        Plan(metric="nsd", margin=None, tolerance_mm=1),
    ],
)
def test_afterwards_neither_metric_nor_margin_changes(tmp_path: Path, other: Plan) -> None:
    state_plan(tmp_path, QUESTION, PLAN)
    note_result(tmp_path, QUESTION)
    with pytest.raises(ConfigError, match="chosen after it"):
        state_plan(tmp_path, QUESTION, other)


def test_a_margin_after_a_look_without_one_is_refused(tmp_path: Path) -> None:
    state_plan(tmp_path, QUESTION, Plan(metric="dice", margin=None))
    note_result(tmp_path, QUESTION)
    with pytest.raises(ConfigError, match="under no margin"):
        state_plan(tmp_path, QUESTION, PLAN)


def test_who_asks_again_without_a_margin_is_held_to_the_stated_one(tmp_path: Path) -> None:
    first = state_plan(tmp_path, QUESTION, PLAN)
    note_result(tmp_path, QUESTION)
    assert state_plan(tmp_path, QUESTION, Plan(metric="dice", margin=None)) == first


def test_another_question_is_another_matter(tmp_path: Path) -> None:
    state_plan(tmp_path, QUESTION, PLAN)
    note_result(tmp_path, QUESTION)
    others = QUESTION.model_copy(update={"package": "c" * 64})
    assert state_plan(tmp_path, others, Plan(metric="dice", margin=0.1)).plan.margin == 0.1


def test_a_record_that_was_changed_is_refused(tmp_path: Path) -> None:
    state_plan(tmp_path, QUESTION, PLAN)
    path = tmp_path / FILE
    path.write_text(path.read_text().replace("0.02", "0.09"))
    with pytest.raises(LedgerError):
        state_plan(tmp_path, QUESTION, PLAN)
