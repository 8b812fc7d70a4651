"""What is taken from a Flower app's reply: a difference, a number of cases, a loss; and nothing else.

Names in a reply are the app's and may say anything, so that no reason repeats one. Imports neither torch nor Flower.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.updates.difference import check_is_difference
from fedvoxel.updates.update import Arrays, Update, check_case_count, check_layout, check_values, layout_of

ARRAYS = "arrays"
"""Flower's usual record of a whole model."""

UPDATE = "update"
"""The record in which an app answers with the difference to the model that it got."""

METRICS = "metrics"
CASES, LOSS = "num-examples", "train_loss"
"""What is read of the metrics; all others stay where they are."""


def update_of(content: Any, model: Arrays, most_cases: int) -> Update:
    """Returns the update that a reply holds.

    Args:
        content: The reply's `RecordDict`.
        model: The model that the app got.
        most_cases: As many cases the app may have trained on.

    Raises:
        UpdateError: It holds full weights, or no difference to `model`, or no number of cases, or values that no update
            should hold.
    """
    arrays = _difference(dict(content.array_records), model)
    check_layout(arrays, layout_of(model))
    check_values(arrays)
    check_is_difference(arrays, model)
    metrics = dict(content.metric_records.get(METRICS, {}))
    plain = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
    return Update(plain, _cases(metrics, most_cases), _loss(metrics))


def _difference(records: dict[str, Any], model: Arrays) -> dict[str, NDArray[Any]]:
    if ARRAYS in records:
        raise UpdateError(
            f"full weights: the Flower app answered with the record {ARRAYS!r}; only differences leave a site: add "
            f"fedvoxel.ops.flower.mods.send_update to its mods, or answer with the difference to the weights received, "
            f"in the record {UPDATE!r}"
        )
    if set(records) != {UPDATE}:
        raise UpdateError(f"expected one ArrayRecord, {UPDATE!r}, in the Flower app's reply, got {len(records)}")
    found = records[UPDATE]
    missing, unknown = len(set(model) - set(found)), len(set(found) - set(model))
    if missing or unknown:
        raise UpdateError(
            f"wrong keys: the Flower app's update lacks {missing} of the {len(model)} arrays that it got and holds "
            f"{unknown} others; answer with the very names that came"
        )
    try:
        return {name: found[name].numpy() for name in model}
    except (TypeError, ValueError, EOFError, OSError):
        raise UpdateError(f"the Flower app's record {UPDATE!r} holds what is no NumPy array") from None


def _cases(metrics: dict[str, Any], most: int) -> int:
    if CASES not in metrics:
        raise UpdateError(
            f"the Flower app's record {METRICS!r} lacks {CASES!r}: the number of cases that it trained on"
        )
    try:
        return check_case_count(metrics[CASES], most)
    except UpdateError as error:
        raise UpdateError(f"{CASES}: {error}; cases count, not patches, slices or batches") from None


def _loss(metrics: dict[str, Any]) -> dict[str, float]:
    loss = metrics.get(LOSS)
    if loss is None:
        return {}
    if not isinstance(loss, int | float) or not math.isfinite(loss):
        raise UpdateError(f"{LOSS}: expected a finite number")
    return {"loss": float(loss)}
