"""The server's side of a calibration: asks all sites twice, adds up what they send, and writes `calibration.json`.

The model is the one that an earlier run on this server has left; nothing is trained. The file goes into a package with
`fedvoxel export --calibration`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from fedvoxel.config import parse_config
from fedvoxel.federation.calibration.answers import FirstAnswer, SecondAnswer, parse_first, parse_second
from fedvoxel.federation.calibration.fitting import make_calibration, make_plan, only
from fedvoxel.federation.calibration.plan import ViewPlan
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.inquiry import InquiryController
from fedvoxel.flare.messages import TASK_CALIBRATE_FIRST, TASK_CALIBRATE_SECOND
from fedvoxel.flare.run_files import BEST_MODEL_FILE, GLOBAL_MODEL_FILE
from fedvoxel.flare.state_folder import run_state_folder
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import load_weights

CALIBRATION_FILE = "calibration.json"


class CalibrationController(InquiryController):
    """Calibrates the model of one earlier run on all sites' validation cases."""

    title = "calibration job"
    file = CALIBRATION_FILE

    def __init__(
        self,
        run_key: str,
        views: dict[str, Any] | None = None,
        timeout_s: float = 3600.0,
        task_check_period: float = 0.1,
    ) -> None:
        """Keeps the job's words; see `InquiryController`.

        Args:
            run_key: The run whose model is calibrated.
            views: A `ViewPlan` as JSON.
            timeout_s: Longest wait for each task, in seconds.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(timeout_s, task_check_period)
        self.run_key, self.views = run_key, views

    def answers(self, sites: list[str]) -> dict[str, Any]:
        """Returns a `Calibration`."""
        views = parse_config(ViewPlan, self.views or {}, "the views")
        state = run_state_folder(self.fl_ctx, self.run_key)
        best = state / BEST_MODEL_FILE
        file = best if best.is_file() else state / GLOBAL_MODEL_FILE
        model = load_weights(file)
        first = only(self._ask(TASK_CALIBRATE_FIRST, model, {}, sites, parse_first), FirstAnswer)
        plan = make_plan(first, views)
        said = {"plan": plan.model_dump(mode="json")}
        second = only(self._ask(TASK_CALIBRATE_SECOND, model, said, sites, parse_second), SecondAnswer)
        return make_calibration(plan, first, second, sha256_of_file(file)).model_dump(mode="json")

    def _ask(
        self,
        task: str,
        model: Arrays,
        said: Mapping[str, Any],
        sites: list[str],
        parse: Callable[[Any, str], object],
    ) -> dict[str, object]:
        """Returns the sites' answers by name, those that have too few patients included."""
        answers: dict[str, object] = {}

        def receive(site: str, reply: FLModel) -> None:
            answers[site] = parse(reply.meta.get("calibration"), site)

        message = FLModel(params_type=ParamsType.FULL, params=dict(model), meta=dict(said))
        self.ask(task, message, sites, Wait(self.timeout_s), receive)
        return answers
