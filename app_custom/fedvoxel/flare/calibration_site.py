"""The site's side of a calibration: an allow-listed executor that has a process of its own look at the cases."""

from functools import partial
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.uncertainty.site_work import CALIBRATOR
from fedvoxel.flare.answering_executor import AnsweringExecutor
from fedvoxel.flare.messages import TASK_CALIBRATE_FIRST, TASK_CALIBRATE_SECOND
from fedvoxel.flare.patient_promises import check_promises
from fedvoxel.flare.pieces import use_pieces
from fedvoxel.flare.state_folder import check_run_key, run_state_folder, state_folder, workspace_of
from fedvoxel.governance.incidents.switches import is_halted
from fedvoxel.privacy.policy import CohortBudget, load_privacy_policy
from fedvoxel.training.messages import Message
from fedvoxel.training.process import TrainerProcess
from fedvoxel.training.setup import TrainerSetup, TrainingTask
from fedvoxel.volumes.site import SITE_FILE, load_site_config


class CalibrationExecutor(AnsweringExecutor):
    """Answers the two tasks of a calibration with sums about at least the minimum number of patients."""

    tasks, answers_as = (TASK_CALIBRATE_FIRST, TASK_CALIBRATE_SECOND), "calibration"

    def __init__(
        self,
        cohort: str,
        classes: list[str],
        plan: dict[str, Any],
        training: dict[str, Any],
        run_key: str,
        privacy: dict[str, Any] | None = None,
    ) -> None:
        """Keeps the job's words; they are checked when the first task comes.

        Args:
            cohort: Name of a cohort in the site's own file.
            classes: Class names; label code 1 + index.
            plan: A `PreprocessingPlan` as JSON.
            training: A `TrainingConfig` as JSON: the network and its inference are used.
            run_key: Names the run's folder in the site's state.
            privacy: None: these sums are not noised, and a job that says otherwise is refused.
        """
        super().__init__(cohort)
        self.run_key, self.privacy = run_key, privacy
        self.classes, self.plan, self.training = classes, plan, training
        self._process: TrainerProcess | None = None

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Has the audit say that the job begins, and ends the process with the run."""
        if event_type == EventType.START_RUN:
            use_pieces()
        elif event_type in (EventType.ABORT_TASK, EventType.END_RUN) and self._process:
            self._process.end()
        super().handle_event(event_type, fl_ctx)

    def answer(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Any:
        """Returns the sums that a task asks for."""
        self._check_policy(fl_ctx)
        state = state_folder(fl_ctx)
        model: FLModel = FLModelUtils.from_shareable(shareable)
        command = {"command": task_name, "plan": model.meta.get("plan")}
        ask = partial(self._open(fl_ctx).ask, should_stop=lambda: abort_signal.triggered or is_halted(state))
        answer = ask(Message(command, model.params or {}), on_progress=lambda header: None)
        return answer.header["calibration"]

    def _check_policy(self, fl_ctx: FLContext) -> None:
        """Refuses a cohort that the hospital protects, or that it has not decided on, before a case of it is read."""
        local = Path(workspace_of(fl_ctx).get_site_config_dir()).resolve()
        check_promises(local, self.cohort)
        decided = load_privacy_policy(local).cohorts.get(self.cohort)
        if decided is None or self.privacy is not None or isinstance(decided, CohortBudget):
            # The sums are not noised.
            raise ConfigError("a cohort under differential privacy answers rounds only, and no calibration")

    def _open(self, fl_ctx: FLContext) -> TrainerProcess:
        if self._process is None:
            said = ("cohort", "classes", "plan", "training")
            task = parse_config(TrainingTask, {name: getattr(self, name) for name in said}, "the job")
            workspace = workspace_of(fl_ctx)
            site_file = Path(workspace.get_site_config_dir()).resolve() / SITE_FILE
            setup = TrainerSetup(
                task=task,
                site=fl_ctx.get_identity_name(),
                site_file=str(site_file),
                state_folder=str(run_state_folder(fl_ctx, check_run_key(self.run_key))),
            )
            log_file = Path(workspace.get_run_dir(fl_ctx.get_job_id())) / "calibration.log"
            threads = load_site_config(site_file).compute.threads
            self._process = TrainerProcess(setup, log_file, threads, CALIBRATOR)
        return self._process
