"""The server's side of a job check: asks every site whether it could run a job, and trains nothing."""

from pathlib import Path
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel
from pydantic import Field

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, FedVoxelError, UpdateError
from fedvoxel.flare.messages import TASK_CHECK
from fedvoxel.flare.site_tasks import SiteTasks, Wait
from fedvoxel.flare.state_folder import workspace_of
from fedvoxel.records.atomic import write_json

CHECK_FILE = "job_check.json"
"""The name of the answers in the job's workspace."""


class SiteReadiness(FrozenModel):
    """Is what a ready site replies.

    Attributes:
        training_cases: Band of usable training cases, "none" at a site that only evaluates.
        refused_cases: Band of training cases that it cannot use.
        versions: Version of each package that matters.
    """

    training_cases: str = Field(max_length=40)
    refused_cases: str = Field(max_length=40)
    versions: dict[str, str]


class CheckResult(FrozenModel):
    """Holds what the sites answered: `ready` by site, and why the others are not."""

    ready: dict[str, SiteReadiness]
    missing: dict[str, str]


class JobCheckController(SiteTasks):
    """Sends every site the task check and writes the answers into the job's result."""

    def __init__(self, timeout_s: float = 300.0, task_check_period: float = 0.1) -> None:
        """Keeps the job's words.

        Args:
            timeout_s: Longest wait for the sites, in seconds.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(task_check_period)
        self.timeout_s = timeout_s

    def run(self) -> None:
        """Runs the check; a site that cannot run the job is an answer, not a failure."""
        try:
            self._run()
        except FedVoxelError as error:
            self.panic(f"the job check failed: {error}")

    def _run(self) -> None:
        sites = sorted(client.name for client in self.engine.get_clients())
        ready: dict[str, Any] = {}

        def receive(site: str, reply: FLModel) -> None:
            told = {key: reply.meta.get(key) for key in SiteReadiness.model_fields}
            try:
                ready[site] = parse_config(SiteReadiness, told, "the reply").model_dump()
            except ConfigError as error:
                raise UpdateError(str(error)) from None

        gathered = self.ask(TASK_CHECK, FLModel(metrics={"arrays": 0}), sites, Wait(self.timeout_s), receive)
        folder = Path(workspace_of(self.fl_ctx).get_run_dir(self.fl_ctx.get_job_id()))
        write_json(folder / CHECK_FILE, {"ready": ready, "missing": {**gathered.missing, **gathered.refused}})
