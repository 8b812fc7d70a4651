"""Simulated sites: they ask FLARE's own communicator for tasks and answer each at once, from a few threads.

A thread answers for one site after another, and makes the next update only when the server has let go of the last:
in a real run an update stays at its site until the server fetches it.
"""

import threading
import time
import weakref
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from nvflare.apis.client import Client
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.wf_comm_server import WFCommServer
from nvflare.apis.shareable import Shareable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.errors import JobError
from fedvoxel.flare.messages import TASK_INITIALIZE, TASK_TRAIN, result_reply
from fedvoxel.updates.update import Layout

THREADS = 2
CASES = 5
_ASK_AGAIN_S = 0.005
_HELD_FOR_S = 600.0

Arrays = dict[str, NDArray[np.float32]]


def layout(parameters: int) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of a model of about so many parameters: eight equal layers of convolutions."""
    width = max(1, round((parameters / 8 / 27) ** 0.5))
    return {f"block{index}.weight": (width, width, 3, 3, 3) for index in range(8)}


class SimulatedSites:
    """Answers for all sites until it is stopped."""

    def __init__(self, sites: Sequence[str], shapes: Layout, communicator: WFCommServer) -> None:
        """Draws the noise that every update is a multiple of."""
        self._clients = [Client(site, site) for site in sites]
        random = np.random.default_rng(0)
        self._noise = {name: random.normal(0, 0.01, shape).astype(np.float32) for name, shape in shapes.items()}
        self._communicator = communicator
        self._stopped = threading.Event()
        self.round_starts: dict[int, float] = {}
        """Processor seconds of this process when the first site was given each round, and after the last round."""
        self.failures: list[str] = []
        self._run_key = ""

    def run(self, run_key: str, context: Callable[[], FLContext]) -> list[threading.Thread]:
        """Starts to answer; `context` makes a context for one request."""
        self._run_key = run_key
        threads = [
            threading.Thread(target=self._answer_for, args=(self._clients[index::THREADS], context), daemon=True)
            for index in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        return threads

    def stop(self) -> None:
        """Has the threads end."""
        self._stopped.set()

    def _answer_for(self, clients: Sequence[Client], context: Callable[[], FLContext]) -> None:
        try:
            while not self._stopped.is_set():
                for client in clients:
                    if self._stopped.is_set():
                        return
                    if not self._one_task(client, context):
                        time.sleep(_ASK_AGAIN_S)
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    def _one_task(self, client: Client, context: Callable[[], FLContext]) -> bool:
        asked = context()
        task, task_id, message = self._communicator.process_task_request(client, asked)
        if message is None:
            return False
        released = threading.Event()
        self._communicator.process_submission(
            client, task, task_id, self._reply(client, task, message, released), context()
        )
        if not released.wait(_HELD_FOR_S):
            raise JobError(f"the server has held an update for {_HELD_FOR_S:.0f} s")
        return True

    def _reply(self, client: Client, task: str, message: Shareable, released: threading.Event) -> Shareable:
        asked = FLModelUtils.from_shareable(message)
        if task == TASK_TRAIN:
            return self._trained(client, int(asked.current_round or 0), released)
        released.set()
        self.round_starts.setdefault(-1 if task != TASK_INITIALIZE else -2, time.process_time())
        if task == TASK_INITIALIZE:
            return result_reply({}, self._noise, difference=False)
        score = {"dice": {"organ": 0.5}} if asked.meta["split"] == "validation" else {"classes": {}}
        return result_reply({"score": {"cases": 1, **score}}, {}, difference=False)

    def _trained(self, client: Client, index: int, released: threading.Event) -> Shareable:
        self.round_starts.setdefault(index, time.process_time())
        factor = np.float32(1.5 + index + 0.5 * (int(client.name[-5:]) % 1009) / 1009)
        arrays = {name: array * factor for name, array in self._noise.items()}
        weakref.finalize(arrays["block0.weight"], released.set)
        meta = {"case_count": CASES, "loss": 1.0, "seconds": 1.0, "run_key": self._run_key, "round": index}
        if index:
            meta["validation"] = {"cases": 1, "dice": {"organ": 0.5}}
        return result_reply(meta, arrays, difference=True)
