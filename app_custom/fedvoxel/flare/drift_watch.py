"""The server's side of a drift watch: asks every site what a model in use has met there, and says one alarm or none.

The last look at each model in which a hospital told something is kept in `state/drift_watches/MODEL.json` too, where
`fedvoxel monitor` finds it when the job's own folder is gone.
"""

from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.config import parse_config
from fedvoxel.federation.drift.answers import TooFewImages, WatchAnswer, check_fits, parse_answer
from fedvoxel.federation.drift.reference import WatchQuestion
from fedvoxel.federation.drift.result import RESULT_FILE, make_result
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.inquiry import InquiryController
from fedvoxel.flare.messages import NO_ARRAYS, TASK_DRIFT_WATCH
from fedvoxel.flare.state_folder import state_folder
from fedvoxel.records.atomic import write_json


class DriftWatchController(InquiryController):
    """Gathers the sites' counts; a site that tells nothing is named with its reason, and is no failure."""

    title = "drift watch"
    file = RESULT_FILE

    def __init__(
        self,
        model: str,
        package: str,
        reference: dict[str, Any],
        last: int = 100,
        timeout_s: float = 1800.0,
        task_check_period: float = 0.1,
    ) -> None:
        """Keeps the job's words; see `InquiryController`.

        Args:
            model: The name under which each site's own file says where the model's results lie.
            package: Identity of the package.
            reference: What images in use are held against; see `federation.drift.reference.WatchReference`.
            last: About how many of the newest images at most.
            timeout_s: Longest wait, in seconds.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(timeout_s, task_check_period)
        self.model, self.package, self.reference, self.last = model, package, reference, last

    def answers(self, sites: list[str]) -> dict[str, Any]:
        """Returns a `DriftWatchResult`."""
        said = {name: getattr(self, name) for name in WatchQuestion.model_fields}
        asked = parse_config(WatchQuestion, said, "the job")
        received: dict[str, WatchAnswer | TooFewImages] = {}

        def receive(site: str, reply: FLModel) -> None:
            answer = parse_answer(reply.meta.get("watch"), site)
            if isinstance(answer, WatchAnswer):
                check_fits(answer, asked)
            received[site] = answer

        question = FLModel(metrics=dict(NO_ARRAYS))
        gathered = self.ask(TASK_DRIFT_WATCH, question, sites, Wait(self.timeout_s), receive)
        result = make_result(asked, received, gathered.missing | gathered.refused)
        for line in result.says:
            self.info(f"event=drift_watch said={line}")
        content = result.model_dump(mode="json")
        if result.told:
            write_json(state_folder(self.fl_ctx) / "drift_watches" / f"{asked.model}.json", content)
        return content
