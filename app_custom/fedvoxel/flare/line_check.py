"""A look at the sites' lines within a job check: how long the job's model takes to all of them and back.

It asks what a job asks anyway: a check, with and without a model beside the question, and the first weights, which
every site draws from the job's seed. Nothing about a case leaves a site that a check of the job would not say.
"""

import time
from collections.abc import Callable
from statistics import median

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from fedvoxel.errors import JobError, UpdateError
from fedvoxel.federation.line import MeasuredLine
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.fetching import size_bytes
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.messages import NO_ARRAYS, TASK_CHECK, TASK_INITIALIZE
from fedvoxel.flare.site_tasks import OnReply
from fedvoxel.updates.update import Arrays, check_values

EMPTY_QUESTIONS = 3
"""How often a question without a model is asked and timed."""

Ask = Callable[[str, FLModel, list[str], Wait, OnReply], Gathered]


class LineCheck:
    """Asks all sites at once, as a round does, and takes the time."""

    def __init__(self, ask: Ask, sites: list[str], timeout_s: float) -> None:
        """Takes `SiteTasks.ask`, sites whose trainers run, and how long a question may take."""
        self._ask, self._sites, self._wait = ask, sites, Wait(timeout_s)
        self._model: Arrays = {}

    def measure(self) -> MeasuredLine:
        """Returns what was measured.

        Raises:
            JobError: A site did not answer, or not with a model.
        """
        empty_s = self._empty_s()
        up_s = self._seconds(TASK_INITIALIZE, _question({}), self._keep)
        down_s = self._seconds(TASK_CHECK, _question(self._model), _leave)
        sent = size_bytes(self._model)
        return MeasuredLine(sites=len(self._sites), model_bytes=sent, empty_s=empty_s, down_s=down_s, up_s=up_s)

    def _keep(self, site: str, reply: FLModel) -> None:
        """Keeps one model: all sites draw the same."""
        arrays: Arrays = reply.params or {}
        if not arrays:
            raise UpdateError("an empty initial model")
        check_values(arrays)
        self._model = self._model or arrays

    def _empty_s(self) -> float:
        """Returns the middle one of some times: one that a busy machine held up would be taken off the model's."""
        self._answers(TASK_CHECK, _question({}), _leave)
        return median(self._timed(TASK_CHECK, _question({}), _leave) for _ in range(EMPTY_QUESTIONS))

    def _seconds(self, task: str, question: FLModel, on_reply: OnReply) -> float:
        """Returns how long a question takes when no site rests any more from a long one before it."""
        self._answers(TASK_CHECK, _question({}), _leave)
        return self._timed(task, question, on_reply)

    def _timed(self, task: str, question: FLModel, on_reply: OnReply) -> float:
        started = time.monotonic()
        self._answers(task, question, on_reply)
        return time.monotonic() - started

    def _answers(self, task: str, question: FLModel, on_reply: OnReply) -> None:
        gathered = self._ask(task, question, self._sites, self._wait, on_reply)
        absent = gathered.missing | gathered.refused
        if absent:
            said = "; ".join(f"{site}: {reason}" for site, reason in absent.items())
            raise JobError(f"the line was not measured, a site gave no answer ({said})")


def _question(model: Arrays) -> FLModel:
    """Returns a question with a model beside it, or with nothing."""
    if not model:
        return FLModel(metrics=dict(NO_ARRAYS), current_round=0, total_rounds=1)
    return FLModel(params_type=ParamsType.FULL, params=dict(model), current_round=0, total_rounds=1)


def _leave(site: str, reply: FLModel) -> None:
    """Keeps nothing of an answer: only its time is wanted."""
