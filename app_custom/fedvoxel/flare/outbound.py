"""The site's own filter on everything that leaves it: FLARE's side of `governance.outbound`.

It stands in the site's privacy scope, before any filter of a job, and no job can take it away. FLARE's `DXOFilter` lets
pass what it does not know; this one derives from `Filter` and refuses it. FLARE turns a refusal into an error reply.
"""

from nvflare.apis.dxo import DataKind, from_shareable
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable

from fedvoxel.errors import UpdateError
from fedvoxel.flare.messages import NO_ARRAYS, error_of, error_reply, result_reply
from fedvoxel.governance.outbound import Answer, ArraysKind, admit

_KINDS: dict[str, ArraysKind] = {DataKind.WEIGHTS: "model", DataKind.WEIGHT_DIFF: "difference"}


class OutboundFilter(Filter):
    """Lets a known answer leave, made anew from its checked values, and refuses everything else."""

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Returns what may leave in place of `shareable`.

        Raises:
            UpdateError: Nothing of it may.
        """
        code = shareable.get_return_code(ReturnCode.OK)
        if code != ReturnCode.OK:
            return _failure(shareable, code)
        task = str(fl_ctx.get_prop(FLContextKey.TASK_NAME))
        admitted = admit(task, _answer(shareable), private=False)
        return result_reply(dict(admitted.values), admitted.arrays, difference=admitted.kind == "difference")


def _failure(shareable: Shareable, code: str) -> Shareable:
    """Returns a failed answer without anything that it may carry besides its code and reason."""
    reply = error_reply(error_of(shareable))
    reply.set_return_code(code)
    return reply


def _answer(shareable: Shareable) -> Answer:
    """Reads a reply; its headers, and whatever else lies beside its data, are left behind.

    Raises:
        UpdateError: It is no reply of this package's executors.
    """
    try:
        dxo = from_shareable(shareable)
    except ValueError:
        raise UpdateError("the answer is no data exchange object of FLARE's") from None
    if dxo.data_kind == DataKind.METRICS and dxo.data == NO_ARRAYS:
        return Answer("none", {}, dxo.meta)
    if dxo.data_kind not in _KINDS:
        raise UpdateError(f"the answer holds data of the kind {dxo.data_kind!r}; expected {' or '.join(_KINDS)}")
    return Answer(_KINDS[dxo.data_kind], dxo.data, dxo.meta)
