"""A site whose executor answers at once, honestly or, at one hospital, with another lie in each round."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import zstandard
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.flare.messages import TASK_INITIALIZE, TASK_TRAIN, result_reply
from fedvoxel.flare.outbound import COHORT_PROPERTY
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.compression.payload import PAYLOAD, as_array, encode

LIAR = "hospital-c"
COHORT = "scripted"
CASES = 5
SIZE = 1000

Arrays = dict[str, np.ndarray]
Lie = Callable[[Arrays, dict[str, Any], FLModel], tuple[dict[str, Any], dict[str, Any]]]
"""Makes arrays and values to send out of the honest ones and the task's message."""


def _full(value: float) -> Lie:
    return lambda arrays, meta, asked: ({"w": np.full(SIZE, value, np.float32)}, meta)


LIES: dict[str, Lie] = {
    "nothing yet": lambda arrays, meta, asked: (arrays, meta),
    "non-finite values": _full(float("nan")),
    "absurd values": _full(1e30),
    "zeros only": _full(0.0),
    "the global model of round 4": lambda arrays, meta, asked: (dict(asked.params), meta),
    "this site's own update of round 0": lambda arrays, meta, asked: (update(LIAR, 0), meta),
    "of run another_run": lambda arrays, meta, asked: (arrays, meta | {"run_key": "another_run"}),
    "an answer to round 6": lambda arrays, meta, asked: (arrays, meta | {"round": 6}),
    "began with 5 cases": lambda arrays, meta, asked: (arrays, meta | {"case_count": 50}),
    "wrong keys": lambda arrays, meta, asked: (arrays | {"extra": np.zeros(1, np.float32)}, meta),
    "wrong shape": lambda arrays, meta, asked: ({"w": np.ones(SIZE - 1, np.float32)}, meta),
    "wrong type": lambda arrays, meta, asked: ({"w": np.ones(SIZE, np.int64)}, meta),
    "got full weights": lambda arrays, meta, asked: (arrays, meta | {"full": True}),
    "between 1 and 100000, got 100001": lambda arrays, meta, asked: (arrays, meta | {"validation": _score(100_001)}),
}
"""By what the server should say of it; one for each round."""

COUNTED_LIES: dict[str, Lie] = {
    "gives this site 5 cases, got 6": lambda arrays, meta, asked: (arrays, meta | {"case_count": CASES + 1}),
    "a validation score of 6": lambda arrays, meta, asked: (arrays, meta | {"validation": _score(CASES + 1)}),
}
"""The same for a job that says how many cases each site has."""

ENCODED_LIES: dict[str, Callable[[], bytes]] = {
    "unpacks to more than": lambda: b"FVC\x01" + zstandard.ZstdCompressor().compress(bytes(2**31)),
    "payload of version 9": lambda: b"FVC\x09" + zstandard.ZstdCompressor().compress(bytes(10)),
    "does not know: {'name': 'fp13'}": lambda: _written_as("fp13"),
}
"""The same for a job whose updates are encoded."""


LIES_OF_RUN = {"lies": LIES, "counted_lies": COUNTED_LIES}


def _score(cases: int) -> dict[str, Any]:
    return {"cases": cases, "dice": {"organ": 1.0}}


def _written_as(codec: str) -> bytes:
    head = json.dumps({"codec": {"name": codec}, "layout": {"w": [SIZE]}}).encode()
    return b"FVC\x01" + zstandard.ZstdCompressor().compress(len(head).to_bytes(4, "little") + head)


def update(site: str, index: int) -> Arrays:
    """Returns a site's honest update of one round."""
    random = np.random.default_rng((index, *site.encode()))
    return {"w": random.normal(0, 0.01, SIZE).astype(np.float32)}


class ScriptedSite(Executor):
    """Answers the tasks of a training job."""

    def __init__(self, run_key: str) -> None:
        super().__init__()
        self.run_key = run_key

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        fl_ctx.set_prop(COHORT_PROPERTY, COHORT, private=True, sticky=False)
        if task_name == TASK_INITIALIZE:
            return result_reply({}, {"w": np.zeros(SIZE, np.float32)}, difference=False)
        asked = FLModelUtils.from_shareable(shareable)
        if task_name != TASK_TRAIN:
            score = {"dice": {}} if asked.meta["split"] == "validation" else {"classes": {}}
            return result_reply({"score": {"cases": 0, **score}}, {}, difference=False)
        site, index = fl_ctx.get_identity_name(), int(asked.current_round or 0)
        arrays, meta = self._answer(site, index, asked)
        return result_reply(meta, arrays, difference=not meta.pop("full", False))

    def _answer(self, site: str, index: int, asked: FLModel) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays = update(site, index)
        meta = {"case_count": CASES, "loss": 1.0, "run_key": self.run_key, "round": index}
        codec = asked.meta["up"]
        if site == LIAR and codec:
            return {PAYLOAD: as_array(list(ENCODED_LIES.values())[index]())}, meta
        if site == LIAR:
            return list(LIES_OF_RUN[self.run_key].values())[index](arrays, meta, asked)
        if codec:
            payload, _ = encode(arrays, READ_CODEC.validate_python(codec), np.random.default_rng(0), {})
            return {PAYLOAD: as_array(payload)}, meta
        return arrays, meta
