"""The server's side of a job check: asks every site whether it could run a job, and trains nothing."""

from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.flare.inquiry import InquiryController
from fedvoxel.flare.messages import NO_ARRAYS, TASK_CHECK
from fedvoxel.flare.site_tasks import Wait
from fedvoxel.governance.outbound import SiteReadiness

CHECK_FILE = "job_check.json"
"""The name of the answers in the job's workspace."""


class CheckResult(FrozenModel):
    """Holds what the sites answered: `ready` by site, and why the others are not."""

    ready: dict[str, SiteReadiness]
    missing: dict[str, str]


class JobCheckController(InquiryController):
    """Sends every site the task check; a site that cannot run the job is an answer, not a failure."""

    title = "job check"
    file = CHECK_FILE

    def answers(self, sites: list[str]) -> dict[str, Any]:
        """Returns a `CheckResult`."""
        ready: dict[str, Any] = {}

        def receive(site: str, reply: FLModel) -> None:
            told = {key: reply.meta.get(key) for key in SiteReadiness.model_fields}
            try:
                ready[site] = parse_config(SiteReadiness, told, "the reply").model_dump()
            except ConfigError as error:
                raise UpdateError(str(error)) from None

        gathered = self.ask(TASK_CHECK, FLModel(metrics=dict(NO_ARRAYS)), sites, Wait(self.timeout_s), receive)
        return {"ready": ready, "missing": gathered.missing | gathered.refused}
