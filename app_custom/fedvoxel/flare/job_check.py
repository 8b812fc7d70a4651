"""The server's side of a job check: asks every site whether it could run a job, and trains nothing.

Where it is asked to, it measures the line to the sites that could.
"""

from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.line import MeasuredLine
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.inquiry import InquiryController
from fedvoxel.flare.line_check import LineCheck
from fedvoxel.flare.messages import NO_ARRAYS, TASK_CHECK
from fedvoxel.governance.outbound import PrivateReadiness, SiteReadiness

CHECK_FILE = "job_check.json"
"""The name of the answers in the job's workspace."""


class CheckResult(FrozenModel):
    """Holds what the sites answered: `ready` by site, why the others are not, and the line where it was measured."""

    ready: dict[str, SiteReadiness | PrivateReadiness]
    missing: dict[str, str]
    line: MeasuredLine | None = None


class JobCheckController(InquiryController):
    """Sends every site the task check; a site that cannot run the job is an answer, not a failure."""

    title = "job check"
    file = CHECK_FILE

    def __init__(
        self,
        timeout_s: float = 1800.0,
        num_rounds: int = 1,
        measure_line: bool = False,
        task_check_period: float = 0.1,
    ) -> None:
        """Keeps the job's words.

        Args:
            timeout_s: Longest wait, in seconds.
            num_rounds: Rounds that the job plans, which a protected cohort's budget is held against.
            measure_line: Whether to send the job's model to the sites that are ready and back, and take the time.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(timeout_s, task_check_period)
        self.num_rounds, self.measure_line = num_rounds, measure_line

    def answers(self, sites: list[str]) -> dict[str, Any]:
        """Returns a `CheckResult`."""
        ready: dict[str, Any] = {}

        def receive(site: str, reply: FLModel) -> None:
            kind: type[FrozenModel] = PrivateReadiness if "protects" in reply.meta else SiteReadiness
            told = {key: reply.meta.get(key) for key in kind.model_fields}
            try:
                ready[site] = parse_config(kind, told, "the reply").model_dump()
            except ConfigError as error:
                raise UpdateError(str(error)) from None

        question = FLModel(metrics=dict(NO_ARRAYS), current_round=0, total_rounds=self.num_rounds)
        gathered = self.ask(TASK_CHECK, question, sites, Wait(self.timeout_s), receive)
        answered = {"ready": ready, "missing": gathered.missing | gathered.refused}
        if self.measure_line and ready:
            answered["line"] = LineCheck(self.ask, sorted(ready), self.timeout_s).measure().model_dump()
        return answered
