"""The site's filter: each of the five ways past FLARE's DXOFilter is closed, and an answer is made anew."""

import numpy as np
import pytest
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import UpdateError
from fedvoxel.flare.messages import error_of, error_reply, result_reply
from fedvoxel.flare.outbound import OutboundFilter

ARRAYS = {"conv.weight": np.full(3, 0.5, np.float32)}
TRAINED = {"case_count": 5, "loss": 0.5, "seconds": 1.0, "refused_cases": 0}


def filtered(reply: Shareable, task: str = "train") -> Shareable:
    context = FLContext()
    context.set_prop(FLContextKey.TASK_NAME, task, private=True, sticky=False)
    return OutboundFilter().process(reply, context)


def test_an_update_leaves_with_its_known_values_and_nothing_beside_them() -> None:
    reply = result_reply(TRAINED, ARRAYS, difference=True)
    reply["note"] = "Meier"
    reply.set_header("patient", "Meier")
    left = filtered(reply)
    assert "Meier" not in str(left)
    model = FLModelUtils.from_shareable(left)
    assert model.meta == TRAINED and np.array_equal(model.params["conv.weight"], ARRAYS["conv.weight"])


@pytest.mark.parametrize(
    "reply",
    [
        DXO(DataKind.ANALYTIC, data={"x": 1}).to_shareable(),
        DXO(DataKind.METRICS, data={"dice": 0.5}).to_shareable(),
        DXO(DataKind.COLLECTION, data={"a": DXO(DataKind.WEIGHTS, data=ARRAYS)}).to_shareable(),
        DXO(DataKind.WEIGHT_DIFF, data={}, meta=TRAINED).to_shareable(),
        DXO(DataKind.WEIGHTS, data=ARRAYS, meta=TRAINED).to_shareable(),
        Shareable({"scan": "raw"}),
    ],
    ids=["analytics", "metrics", "a collection", "an empty difference", "full weights", "no DXO"],
)
def test_what_it_does_not_know_is_refused(reply: Shareable) -> None:
    with pytest.raises(UpdateError):
        filtered(reply)


def test_a_failed_answer_leaves_as_its_code_and_reason_only() -> None:
    reply = error_reply("no usable case")
    reply["scan"] = b"raw"
    reply.set_header("patient", "Meier")
    left = filtered(reply)
    assert left.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert error_of(left) == "no usable case"
    assert "raw" not in str(left) and "Meier" not in str(left)
