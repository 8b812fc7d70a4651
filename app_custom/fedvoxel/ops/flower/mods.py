"""A Flower mod with which an app that answers with full weights answers with the difference to what it got."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.training.flower_reply import UPDATE
from fedvoxel.updates.difference import difference_of

_TRAIN = "train"


def send_update(message: Any, context: Any, call_next: Callable[[Any, Any], Any]) -> Any:
    """Is a Flower mod: `ClientApp(mods=[send_update])`.

    It puts the difference of the app's one ArrayRecord to the one received in its place, in the record `update`. What
    the app answers beside, and messages other than those to train, pass unchanged. Arrays that were not received and
    are not floating point, such as counters of batches, stay where they are.

    Raises:
        UpdateError: The message or the reply does not hold exactly one ArrayRecord, or they do not fit each other.
    """
    if message.metadata.message_type.split(".")[0] != _TRAIN:
        return call_next(message, context)
    model = _arrays(message.content)[1]
    reply = call_next(message, context)
    if reply.has_error():
        return reply
    key, trained = _arrays(reply.content)
    trained = {name: array for name, array in trained.items() if name in model or array.dtype.kind == "f"}
    shapes = [{name: array.shape for name, array in arrays.items()} for arrays in (model, trained)]
    if shapes[0] != shapes[1]:
        raise UpdateError("expected the arrays that the app got, by their names and shapes, in its reply")
    difference = difference_of(trained, model)
    del reply.content[key]
    reply.content[UPDATE] = _record(difference)
    return reply


def _arrays(content: Any) -> tuple[str, dict[str, NDArray[Any]]]:
    """Returns the name of the one ArrayRecord, and its arrays."""
    records = list(content.array_records.items())
    if len(records) != 1:
        raise UpdateError(f"expected one ArrayRecord, got {len(records)}")
    key, record = records[0]
    return key, {name: np.asarray(array.numpy()) for name, array in record.items()}


def _record(arrays: dict[str, NDArray[np.float32]]) -> Any:
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({name: Array(array) for name, array in arrays.items()})
