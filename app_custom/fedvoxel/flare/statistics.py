"""Cohort statistics as a job: each site describes its cohort in numbers about many cases, the server merges them."""

from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.errors import ConfigError, FedVoxelError, UpdateError
from fedvoxel.federation.cohort_statistics import merge_statistics
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.inquiry import InquiryController
from fedvoxel.flare.messages import NO_ARRAYS, TASK_STATISTICS, error_reply, result_reply
from fedvoxel.flare.outbound import COHORT_PROPERTY
from fedvoxel.flare.state_folder import state_folder, workspace_of
from fedvoxel.flare.versions import check_server, tell_versions
from fedvoxel.governance.incidents.switches import check_not_halted

STATISTICS_FILE = "cohort_statistics.json"


class StatisticsExecutor(Executor):
    """Answers the task statistics from the site's own cohort; the minimum cell size holds whatever a job says."""

    def __init__(self, cohort: str, classes: list[str]) -> None:
        """Keeps the job's words.

        Args:
            cohort: Name of a cohort in the site's own file.
            classes: Class names.
        """
        super().__init__()
        self.cohort, self.classes = cohort, classes
        self._problem: str | None = None

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Tells the server this site's versions with the run, and has the audit say that the job begins."""
        if event_type == EventType.START_RUN:
            # Imported here, not above: the server loads this module too, and has no imaging packages.
            from fedvoxel.flare.begun_job import begun_job

            tell_versions(fl_ctx)
            self._problem = begun_job(fl_ctx, self.cohort)

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Reads the cohort and replies with its statistics, or with the reason why not."""
        fl_ctx.set_prop(COHORT_PROPERTY, self.cohort, private=True, sticky=False)
        # As above.
        from fedvoxel.flare.patient_promises import check_promises
        from fedvoxel.volumes.site import SITE_FILE, load_site_config
        from fedvoxel.volumes.statistics import site_statistics

        try:
            check_server(task_name, fl_ctx)
            check_not_halted(state_folder(fl_ctx))
            if self._problem:
                raise ConfigError(self._problem)
            if task_name != TASK_STATISTICS:
                raise UpdateError(f"unknown task {task_name!r}; this job's sites answer {TASK_STATISTICS}")
            site_file = Path(workspace_of(fl_ctx).get_site_config_dir()).resolve() / SITE_FILE
            check_promises(site_file.parent, self.cohort)
            site = load_site_config(site_file)
            statistics = site_statistics(site, self.cohort, tuple(self.classes), site_file.parent)
        except FedVoxelError as error:
            self.log_error(fl_ctx, f"event=task_failed task={task_name} reason={error}", fire_event=False)
            return error_reply(str(error))
        return result_reply({"statistics": statistics}, {}, difference=False)


class StatisticsController(InquiryController):
    """Gathers the sites' statistics and merges them into a table with the plan that it suggests."""

    title = "cohort statistics job"
    file = STATISTICS_FILE

    def answers(self, sites: list[str]) -> dict[str, Any]:
        """Returns the merged summary, and who is missing in it."""
        received: dict[str, object] = {}

        def receive(site: str, reply: FLModel) -> None:
            received[site] = reply.meta.get("statistics")

        gathered = self.ask(TASK_STATISTICS, FLModel(metrics=dict(NO_ARRAYS)), sites, Wait(self.timeout_s), receive)
        return {"summary": merge_statistics(received).model_dump(mode="json"), "missing": gathered.missing}
