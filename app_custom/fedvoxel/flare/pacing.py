"""Says when sites ask for their next task, and lets a few at a time load the global model from the server.

FLARE has every site ask several times a second for as long as it has nothing to do, which costs a server of many sites
a core. It serves all of them at once, and holds several copies of the model's largest arrays for each until they have
arrived: that is what fills the server's memory. Here a site is told when to ask again, and nothing waits inside the
server.
"""

import threading
import time
from collections.abc import Collection
from typing import Any

from nvflare.fuel.f3.streaming.download_service import ProduceRC

from fedvoxel.federation.line import LOADING_AT_ONCE
from fedvoxel.federation.pace import Pace, Question
from fedvoxel.flare.pieces import ArrayPieces, use_pieces

_LOST_AFTER_S = 20.0
_ASK_AGAIN_S = 0.2


class RequestPace:
    """Tells sites that wait for their next task how many seconds to rest before they ask again."""

    def __init__(self, server_config: Any) -> None:
        """Starts with the interval that the job asks for.

        Args:
            server_config: Configuration of FLARE's server runner, whose `task_request_interval` every answer carries.
        """
        self._config = server_config
        self._shortest_s: float = server_config.task_request_interval
        self._pace = Pace(self._shortest_s)

    def wait(self, question: Question, answered: Collection[str]) -> None:
        """Sets the rest while a question is open, and notes who has answered it."""
        self._pace.answered(answered, question.elapsed_s)
        self._config.task_request_interval = self._pace.rest_s(question)

    def done(self, task_name: str, answered: Collection[str], took_s: float) -> None:
        """Notes that a question has ended; sites that ask now are about to be given the next."""
        self._pace.answered(answered, took_s)
        self._pace.done(task_name)
        self._config.task_request_interval = self._shortest_s


class Turns:
    """Gives turns to those who ask; a turn ends when it is given back, or when its holder has not asked for long."""

    def __init__(self, at_once: int = LOADING_AT_ONCE, lost_after_s: float = _LOST_AFTER_S) -> None:
        """Starts with `at_once` free turns."""
        self._at_once, self._lost_after_s = at_once, lost_after_s
        self._lock = threading.Lock()
        self._last_asked: dict[int, float] = {}

    def take(self, who: int, now: float) -> bool:
        """Returns whether `who` has a turn at `now` (seconds of a monotonic clock)."""
        with self._lock:
            lost = [one for one, asked in self._last_asked.items() if now - asked > self._lost_after_s]
            for one in lost:
                del self._last_asked[one]
            if who not in self._last_asked and len(self._last_asked) >= self._at_once:
                return False
            self._last_asked[who] = now
            return True

    def give_back(self, who: int) -> None:
        """Ends `who`'s turn, if it has one."""
        with self._lock:
            self._last_asked.pop(who, None)


class PacedArrays(ArrayPieces):
    """Is what FLARE sends a message's arrays with, and waits for its turn."""

    def __init__(self, arrays: dict[str, Any], max_chunk_size: int, turns: Turns) -> None:
        """Keeps the arrays until they have arrived."""
        super().__init__(arrays, max_chunk_size)
        self._turns = turns

    def produce(self, state: dict[str, Any], requester: str) -> tuple[str, Any, dict[str, Any]]:
        """Returns the next piece, or nothing yet and the same state."""
        if self._turns.take(id(self), time.monotonic()):
            piece: tuple[str, Any, dict[str, Any]] = super().produce(state, requester)
            return piece
        time.sleep(_ASK_AGAIN_S)
        return ProduceRC.OK, [], state or {"start": 0, "count": 0}

    def downloaded_to_all(self) -> None:
        """Ends the turn when everything has arrived."""
        self._turns.give_back(id(self))
        super().downloaded_to_all()

    def transaction_done(self, transaction_id: str, status: str) -> None:
        """Ends the turn when FLARE gives up."""
        self._turns.give_back(id(self))
        super().transaction_done(transaction_id, status)


def pace_downloads() -> None:
    """Has this process, the server's job process, send arrays in turns."""
    turns = Turns()
    use_pieces().to_downloadable = lambda items, size, context: PacedArrays(items, size, turns)
