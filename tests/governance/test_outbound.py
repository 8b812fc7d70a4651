"""Only what the list knows leaves a site, and of that nothing but the values that the list names."""

from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.governance.outbound import Answer, ArraysKind, admit

DIFFERENCE = {"conv.weight": np.full((2, 3), 0.5, np.float32)}
TRAINED = {"case_count": 5, "loss": 0.25, "seconds": 1.5, "refused_cases": 0}
RELEASED = {"release_id": "0123456789abcdef0123456789abcdef"}
FEW = {"schema_version": 1, "minimum_patients": 5, "below_minimum": True}


def answer(values: dict[str, Any], kind: ArraysKind = "difference", arrays: Any = None) -> Answer:
    return Answer(kind, (DIFFERENCE if kind != "none" else {}) if arrays is None else arrays, values)


GOOD: list[tuple[str, Answer]] = [
    ("initialize", answer({}, "model")),
    ("train", answer(TRAINED)),
    ("train", answer(TRAINED | {"validation": {"cases": 2, "dice": {"organ": 0.5, "other": None}}})),
    ("train", answer(TRAINED | {"run_key": "a_run", "round": 3})),
    ("train", answer({"case_count": 0, "seconds": 0.5, "refused_cases": 2}, "none")),
    ("validate", answer({"score": {"cases": 2, "dice": {"organ": 0.5}}}, "none")),
    ("validate", answer({"score": {"cases": 2, "classes": {"organ": {"cases": 2, "dice_mean": 0.5}}}}, "none")),
    ("submit_model", answer({}, "model")),
    ("statistics", answer({"statistics": {"schema_version": 1, "minimum_cases": 5, "below_minimum": True}}, "none")),
    ("calibrate_first", answer({"calibration": FEW}, "none")),
    ("calibrate_second", answer({"calibration": FEW}, "none")),
    ("check", answer({"training_cases": "5 to 19", "refused_cases": "none", "versions": {"torch": "2"}}, "none")),
]

BAD: dict[str, tuple[str, Answer]] = {
    "an unknown task": ("upload", answer(TRAINED)),
    "full weights": ("train", answer(TRAINED, "model")),
    "an extra value": ("train", answer(TRAINED | {"names": ["Meier"]})),
    "a scalar of its own": ("train", answer(TRAINED | {"threshold": 0.1})),
    "a value in the score": ("validate", answer({"score": {"cases": 2, "dice": {}, "worst": "case-7"}}, "none")),
    "a calibration with a name": ("calibrate_first", answer({"calibration": FEW | {"patient": "Meier"}}, "none")),
    "a calibration about few": ("calibrate_second", answer({"calibration": FEW | {"minimum_patients": 1}}, "none")),
    "a run key of several words": ("train", answer(TRAINED | {"run_key": "Meier, Anna", "round": 3})),
    "text for a number": ("train", answer(TRAINED | {"loss": "Meier"})),
    "a loss that is not finite": ("train", answer(TRAINED | {"loss": float("nan")})),
    "NaN in an array": ("train", answer(TRAINED, arrays={"a": np.array([np.nan], np.float32)})),
    "an integer buffer": ("train", answer(TRAINED, arrays={"a": np.array([7])})),
    "arrays beside a score": ("validate", answer({"score": {"cases": 2, "dice": {}}})),
    "a difference without arrays": ("train", answer(TRAINED, arrays={})),
    "none, with arrays": ("train", answer(TRAINED, "none", DIFFERENCE)),
    "values beside a model": ("initialize", answer({"note": 1}, "model")),
}


@pytest.mark.parametrize(("task", "good"), GOOD)
def test_what_the_list_names_leaves_as_it_is(task: str, good: Answer) -> None:
    admitted = admit(task, good, private=False)
    assert (admitted.kind, admitted.values) == (good.kind, dict(good.values))
    assert admitted.arrays.keys() == good.arrays.keys()


@pytest.mark.parametrize("case", BAD)
def test_anything_else_is_refused_without_repeating_it(case: str) -> None:
    task, bad = BAD[case]
    with pytest.raises(UpdateError) as refused:
        admit(task, bad, private=False)
    assert "Meier" not in str(refused.value)


def test_a_private_cohort_lets_a_release_leave_and_nothing_else() -> None:
    assert admit("train", answer(RELEASED, "none"), private=True).values == RELEASED
    with pytest.raises(UpdateError, match="should hold none"):
        admit("train", answer(RELEASED), private=True)
    assert admit("initialize", answer({}, "model"), private=True).kind == "model"
    for task, good in GOOD[1:]:
        with pytest.raises(UpdateError):
            admit(task, good, private=True)


CHECKED = {"protects": "patient", "rounds": 12, "versions": {"fedvoxel": "0.3.0", "torch": "not installed"}}


def test_a_private_cohort_answers_a_check_without_its_cases() -> None:
    assert admit("check", answer(CHECKED, "none"), private=True).values == CHECKED
    with pytest.raises(UpdateError, match="may not leave"):
        admit("check", answer(CHECKED, "none"), private=False)


@pytest.mark.parametrize(
    "change",
    [
        {"training_cases": "5 to 9"},
        {"refused_cases": "none"},
        {"cases": 7},
        {"ready": True},
        {"protects": "Meier"},
        {"rounds": -1},
        {"versions": {"Meier": "1"}},
        {"versions": {"torch": "Meier"}},
        {"versions": {"torch": "2.1" + "7" * 60}},
    ],
    ids=str,
)
def test_a_check_of_a_private_cohort_tells_nothing_more(change: dict[str, Any]) -> None:
    with pytest.raises(UpdateError, match="may not leave") as refused:
        admit("check", answer(CHECKED | change, "none"), private=True)
    assert "Meier" not in str(refused.value)
    with pytest.raises(UpdateError, match="should hold none"):
        admit("check", answer(CHECKED), private=True)


@pytest.mark.parametrize("channel", ["loss", "case_count", "seconds", "refused_cases", "validation"])
def test_one_more_channel_beside_a_release_is_refused(channel: str) -> None:
    with pytest.raises(UpdateError, match="may not leave"):
        admit("train", answer(RELEASED | {channel: 1}, "none"), private=True)
