"""What is taken from a Flower app's reply, and what it is refused for; Flower's own records: test_flower_app.py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.training.flower_reply import update_of

MODEL = {"conv": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4), "bias": np.full(3, 0.5, np.float32)}
STEP = {name: np.full_like(array, 0.01) for name, array in MODEL.items()}
METRICS = {"num-examples": 5, "train_loss": 0.25, "patient": 17}


@dataclass
class FakeArray:
    array: Any

    def numpy(self) -> Any:
        if isinstance(self.array, str):
            raise TypeError(f"unsupported {self.array}")
        return self.array


@dataclass
class Content:
    array_records: Mapping[str, Any]
    metric_records: Mapping[str, Any] = field(default_factory=lambda: {"metrics": METRICS})


def content(arrays: Mapping[str, Any], record: str = "update", **metrics: Any) -> Content:
    said = {name: value for name, value in (METRICS | metrics).items() if value is not None}
    return Content({record: {name: FakeArray(array) for name, array in arrays.items()}}, {"metrics": said})


def test_a_difference_a_number_of_cases_and_a_loss_are_taken_and_nothing_else() -> None:
    update = update_of(content(STEP), MODEL, most_cases=5)
    assert (update.case_count, update.metrics) == (5, {"loss": 0.25})
    assert all(np.array_equal(update.arrays[name], STEP[name]) for name in MODEL)
    assert update_of(content(STEP, train_loss=None), MODEL, 5).metrics == {}


def test_float64_leaves_as_float32() -> None:
    update = update_of(content({name: array.astype(np.float64) for name, array in STEP.items()}), MODEL, 5)
    assert {array.dtype for array in update.arrays.values()} == {np.dtype(np.float32)}


LOCAL = {name: MODEL[name] + STEP[name] for name in MODEL}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (content(LOCAL, "arrays"), r"full weights.*send_update"),
        (content(STEP, "arrays"), "full weights"),
        (content(LOCAL), "full weights"),
        (content(MODEL), "full weights"),
        (Content({"update": {}, "arrays": {}}), "full weights"),
        (Content({"update": {}, "another": {}}), "one ArrayRecord.*got 2"),
        (Content({}), "got 0"),
        (content(STEP, "delta"), "got 1"),
        (content({"conv": STEP["conv"]}), "lacks 1 of the 2 arrays"),
        (content(STEP | {"Mueller^Anna": STEP["bias"]}), "holds 1 others"),
        (content(STEP | {"bias": np.zeros(4, np.float32)}), "wrong shape: bias"),
        (content(STEP | {"bias": np.full(3, np.nan, np.float32)}), "non-finite values in bias"),
        (content(STEP | {"bias": np.full(3, np.inf, np.float32)}), "non-finite values in bias"),
        (content(STEP | {"bias": np.full(3, 1e300)}), "absurd values: bias"),
        (content(STEP | {"bias": np.zeros(3, np.int64)}), "wrong type: bias"),
        (content(STEP | {"bias": "Mueller^Anna"}), "no NumPy array"),
        (content(STEP, **{"num-examples": None}), "lacks 'num-examples'"),
        (content(STEP, **{"num-examples": 6}), "between 1 and 5, got 6; cases count"),
        (content(STEP, **{"num-examples": 0}), "between 1 and 5"),
        (content(STEP, **{"num-examples": 2.0}), "between 1 and 5"),
        (Content(content(STEP).array_records, {}), "lacks 'num-examples'"),
        (content(STEP, train_loss=float("nan")), "train_loss: expected a finite number"),
        (content(STEP, train_loss=[0.5]), "train_loss: expected a finite number"),
    ],
)
def test_what_is_no_update_is_refused_and_nothing_of_it_is_repeated(said: Content, reason: str) -> None:
    with pytest.raises(UpdateError, match=reason) as caught:
        update_of(said, MODEL, most_cases=5)
    assert "Mueller" not in str(caught.value)
