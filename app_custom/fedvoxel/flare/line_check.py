"""The server's side of a look at the line: how long the job's model takes to all sites and back. Trains nothing.

It asks what a job asks anyway: a check, with and without a model beside the question, and the first weights, which
every site draws from the job's seed. Nothing about a case leaves a site that a check of the job would not say.
"""

import time
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.line import MeasuredLine
from fedvoxel.flare.fetching import size_bytes
from fedvoxel.flare.inquiry import InquiryController
from fedvoxel.flare.messages import NO_ARRAYS, TASK_CHECK, TASK_INITIALIZE
from fedvoxel.flare.site_tasks import Wait
from fedvoxel.updates.update import Arrays, check_values

LINE_FILE = "line_check.json"
"""The name of what was measured in the job's workspace."""


class LineResult(FrozenModel):
    """Holds what was measured, and which sites gave no answer and why: they are not in the measurement."""

    line: MeasuredLine
    missing: dict[str, str]


class LineCheckController(InquiryController):
    """Asks all sites at once, as a round does, and takes the time."""

    title = "look at the line"
    file = LINE_FILE

    def answers(self, sites: list[str]) -> dict[str, Any]:
        """Returns a `LineResult`.

        Raises:
            ConfigError: No site answers.
        """
        nothing = FLModel(metrics=dict(NO_ARRAYS), current_round=0, total_rounds=1)
        # The first question waits until the sites' trainers have started, and is not counted.
        _, missing = self._timed(TASK_CHECK, nothing, sites)
        ready = [site for site in sites if site not in missing]
        if not ready:
            raise ConfigError(f"no site answers ({'; '.join(f'{site}: {why}' for site, why in missing.items())})")
        empty_s, _ = self._timed(TASK_CHECK, nothing, ready)
        models: dict[str, Arrays] = {}
        up_s, lost = self._timed(TASK_INITIALIZE, FLModel(metrics=dict(NO_ARRAYS)), ready, models)
        model = next(iter(models.values()), {})
        if not model or lost:
            raise ConfigError(f"no model came from {', '.join(lost) or 'any site'}")
        sent = FLModel(params_type=ParamsType.FULL, params=dict(model), current_round=0, total_rounds=1)
        down_s, lost = self._timed(TASK_CHECK, sent, ready)
        if lost:
            raise ConfigError(f"no answer from {', '.join(lost)} that was sent the model")
        line = MeasuredLine(sites=len(ready), model_bytes=size_bytes(model), empty_s=empty_s, down_s=down_s, up_s=up_s)
        return LineResult(line=line, missing=missing).model_dump()

    def _timed(
        self, task: str, question: FLModel, sites: list[str], models: dict[str, Arrays] | None = None
    ) -> tuple[float, dict[str, str]]:
        """Asks, and returns the seconds until the last answer, and who gave none and why; keeps one model."""

        def receive(site: str, reply: FLModel) -> None:
            arrays: Arrays = reply.params or {}
            if models is None:
                return
            if not arrays:
                raise UpdateError("an empty initial model")
            check_values(arrays)
            if not models:
                models[site] = arrays

        started = time.monotonic()
        gathered = self.ask(task, question, sites, Wait(self.timeout_s), receive)
        return time.monotonic() - started, gathered.missing | gathered.refused
