"""The mod that answers with a difference, on Flower's own messages."""

from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import UpdateError
from tests.flower_apps import needs_flower

pytestmark = needs_flower

MODEL = {"conv": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4), "bias": np.full(3, 0.5, np.float32)}


def record(arrays: dict[str, np.ndarray]) -> Any:
    from flwr.app import Array, ArrayRecord

    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def passed(reply: dict[str, Any], kind: str = "train", sent: dict[str, Any] | None = None) -> Any:
    """Returns the content of the reply, after the mod, to a message of this kind."""
    from flwr.app import Message, RecordDict

    from fedvoxel.ops.flower.mods import send_update
    from tests.ops.flower.nodes import begin

    begin()
    content = RecordDict({"arrays": record(MODEL)} if sent is None else sent)
    message = Message(content=content, dst_node_id=1, message_type=kind)

    def app(message: Any, context: Any) -> Any:
        if "arrays" in message.content:
            message.content["arrays"] = record({name: array * 0 for name, array in MODEL.items()})
        return Message(content=RecordDict(reply), reply_to=message)

    return send_update(message, None, app).content


LOCAL = {name: array + np.float32(0.25) for name, array in MODEL.items()}


@pytest.mark.parametrize("kind", ["train", "train.private"])
def test_the_difference_to_what_came_is_put_in_the_place_of_the_weights(kind: str) -> None:
    from flwr.app import MetricRecord

    content = passed({"model": record(LOCAL), "metrics": MetricRecord({"num-examples": 5})}, kind)
    assert set(content) == {"update", "metrics"} and dict(content["metrics"]) == {"num-examples": 5}
    for array in content["update"].values():
        np.testing.assert_allclose(array.numpy(), np.full(array.shape, 0.25, np.float32), rtol=1e-6)


def test_other_messages_pass_as_they_are() -> None:
    content = passed({"arrays": record(LOCAL)}, "evaluate")
    assert set(content) == {"arrays"} and np.array_equal(content["arrays"]["bias"].numpy(), LOCAL["bias"])


def test_counters_stay_where_they_are() -> None:
    assert set(passed({"arrays": record(LOCAL | {"batches": np.array(7)})})["update"]) == set(MODEL)


@pytest.mark.parametrize("sent", [None, {}])
@pytest.mark.parametrize(
    "arrays",
    [{}, {"conv": LOCAL["conv"]}, LOCAL | {"more": np.zeros(2, np.float32)}, LOCAL | {"bias": np.zeros(4, np.float32)}],
)
def test_what_does_not_fit_is_refused_and_not_passed_on(arrays: dict[str, np.ndarray], sent: Any) -> None:
    with pytest.raises(UpdateError):
        passed({"arrays": record(arrays)} if arrays else {}, sent=sent)


def test_two_records_are_refused() -> None:
    with pytest.raises(UpdateError, match="one ArrayRecord, got 2"):
        passed({"arrays": record(LOCAL), "more": record(LOCAL)})


def test_an_error_passes_as_it_is() -> None:
    from flwr.app import Error, Message, RecordDict

    from fedvoxel.ops.flower.mods import send_update
    from tests.ops.flower.nodes import begin

    begin()
    message = Message(content=RecordDict({"arrays": record(MODEL)}), dst_node_id=1, message_type="train")
    reply = send_update(message, None, lambda message, context: Message(Error(code=3), reply_to=message))
    assert reply.has_error() and reply.error.code == 3
