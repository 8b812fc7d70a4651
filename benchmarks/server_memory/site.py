"""A simulated site: a real FLARE client whose executor answers at once with random updates, without torch or scans.

Every site answers at the same moment, which is the hardest case for the server's memory.
"""

import numpy as np
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from benchmarks.server_memory.layout import layout
from fedvoxel.flare.messages import TASK_INITIALIZE, TASK_TRAIN, result_reply
from fedvoxel.flare.outbound import COHORT_PROPERTY
from fedvoxel.flare.pieces import use_pieces

_CASES = 5
COHORT = "simulated"
"""The cohort of which the sites' policy lets answers leave."""


class RandomUpdates(Executor):
    """Answers the tasks of a training job."""

    def __init__(self, run_key: str) -> None:
        """Takes the run's key, which every executor of a FedVoxel job is given."""
        super().__init__()
        self.run_key = run_key
        self._random = np.random.default_rng()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Sends and receives arrays as our own executor does."""
        if event_type == EventType.START_RUN:
            use_pieces()

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Returns an initial model, a random update, or a made-up score."""
        fl_ctx.set_prop(COHORT_PROPERTY, COHORT, private=True, sticky=False)
        if task_name in (TASK_INITIALIZE, TASK_TRAIN):
            arrays = {name: self._random.normal(0, 0.01, shape).astype(np.float32) for name, shape in layout().items()}
            index = int(FLModelUtils.from_shareable(shareable).current_round or 0)
            meta = {"case_count": _CASES, "loss": 1.0, "run_key": self.run_key, "round": index}
            trained = task_name == TASK_TRAIN
            return result_reply(meta if trained else {}, arrays, difference=trained)
        split = FLModelUtils.from_shareable(shareable).meta["split"]
        scores = {"dice": {}} if split == "validation" else {"classes": {}}
        return result_reply({"score": {"cases": 0, **scores}}, {}, difference=False)
