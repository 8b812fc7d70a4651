"""Cohort statistics as a job: each site describes its cohort in numbers about many cases, the server merges them."""

from pathlib import Path
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.federation.cohort_statistics import merge_statistics
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.answering_executor import AnsweringExecutor
from fedvoxel.flare.inquiry import InquiryController
from fedvoxel.flare.messages import NO_ARRAYS, TASK_STATISTICS
from fedvoxel.flare.state_folder import workspace_of

STATISTICS_FILE = "cohort_statistics.json"


class StatisticsExecutor(AnsweringExecutor):
    """Answers the task statistics from the site's own cohort; the minimum cell size holds whatever a job says."""

    tasks, answers_as = (TASK_STATISTICS,), "statistics"

    def __init__(self, cohort: str, classes: list[str]) -> None:
        """Keeps the job's words.

        Args:
            cohort: Name of a cohort in the site's own file.
            classes: Class names.
        """
        super().__init__(cohort)
        self.classes = classes

    def answer(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> dict[str, Any]:
        """Reads the cohort and returns its statistics."""
        # Imported here, not above: the server loads this module too, and has no imaging packages.
        from fedvoxel.flare.patient_promises import check_promises
        from fedvoxel.volumes.site import SITE_FILE, load_site_config
        from fedvoxel.volumes.statistics import site_statistics

        site_file = Path(workspace_of(fl_ctx).get_site_config_dir()).resolve() / SITE_FILE
        check_promises(site_file.parent, self.cohort)
        return site_statistics(load_site_config(site_file), self.cohort, tuple(self.classes), site_file.parent)


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
