"""The site's side of a job: an allow-listed executor that hands each task to the site's trainer process.

FLARE's job process stays free of torch, and a trainer that crashes, runs out of memory or is killed is one failed task:
a job process that died would take the whole job with it.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.widgets.info_collector import GroupInfoCollector, InfoCollector

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, FedVoxelError
from fedvoxel.flare.begun_job import begun_job
from fedvoxel.flare.kept_answer import basis_of
from fedvoxel.flare.local_model import load_local_model, local_model_file
from fedvoxel.flare.messages import (
    SECURE_TASKS,
    STATS_GROUP,
    TASK_CHECK,
    TASK_INITIALIZE,
    TASK_SUBMIT_MODEL,
    TASK_TRAIN,
    TASK_VALIDATE,
    error_reply,
    result_reply,
)
from fedvoxel.flare.outbound import COHORT_PROPERTY
from fedvoxel.flare.pieces import use_pieces
from fedvoxel.flare.private_answer import PrivateAnswers
from fedvoxel.flare.private_check import private_readiness
from fedvoxel.flare.scored_answer import scores_reply
from fedvoxel.flare.section_agreement import check_same_section
from fedvoxel.flare.secure_answers import SecureAnswers
from fedvoxel.flare.site_audit import RUN_PROPERTY, answer_countersigning
from fedvoxel.flare.site_memory import begin_training
from fedvoxel.flare.site_protection import check_in_sums, may_be_watched, private_rounds, terms_of
from fedvoxel.flare.site_updates import SiteUpdates, public_header
from fedvoxel.flare.state_folder import run_state_folder, state_folder, workspace_of
from fedvoxel.flare.versions import check_server, tell_versions
from fedvoxel.governance.incidents.switches import check_not_halted, is_halted
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig
from fedvoxel.training.messages import Message
from fedvoxel.training.process import TrainerProcess
from fedvoxel.training.setup import TrainerSetup, TrainingTask
from fedvoxel.training.site_state import SiteState
from fedvoxel.volumes.site import SITE_FILE, ComputeConfig, load_site_config

if TYPE_CHECKING:
    from fedvoxel.flare.private_rounds import PrivateRounds


class SiteExecutor(Executor):
    """Answers the tasks initialize, train, validate and submit_model of a FedVoxel job."""

    def __init__(
        self,
        cohort: str,
        classes: list[str],
        plan: dict[str, Any],
        training: dict[str, Any],
        run_key: str,
        privacy: dict[str, Any] | None = None,
    ) -> None:
        """Keeps the job's words; they are checked when the run starts, so that a bad one is a reply and not a crash.

        Args:
            cohort: Name of a cohort in the site's own file.
            classes: Class names; label code 1 + index.
            plan: A `PreprocessingPlan` as JSON.
            training: A `TrainingConfig` as JSON.
            run_key: Names the run's folder in the site's state.
            privacy: A `PrivacySection` as JSON; None protects nobody.
        """
        super().__init__()
        self.cohort, self.run_key = cohort, run_key
        self.classes, self.plan, self.training, self.privacy = classes, plan, training, privacy
        self._process: TrainerProcess | None = None
        self._folder: Path | None = None
        self._updates: SiteUpdates | None = None
        self._secure: SecureAnswers | None = None
        self._task_hash = ""
        self._begun = False
        self._refused: str | None = None
        self._progress: dict[str, Any] = {}
        self._section: PatientMechanismConfig | HospitalMechanismConfig | None = None
        self._private: PrivateAnswers | None = None

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Starts the trainer with the run, ends it with the run, and answers show_stats."""
        if event_type == EventType.START_RUN:
            use_pieces()
            tell_versions(fl_ctx)
            self._begin(fl_ctx)
            answer_countersigning(fl_ctx)
        elif event_type in (EventType.ABORT_TASK, EventType.END_RUN) and self._process:
            self._process.end()
        elif event_type == InfoCollector.EVENT_TYPE_GET_STATS:
            collector = fl_ctx.get_prop(InfoCollector.CTX_KEY_STATS_COLLECTOR)
            if isinstance(collector, GroupInfoCollector):
                # How long a private step takes tells how many patients were sampled for it.
                watched = self._section is None and may_be_watched(_local(fl_ctx), self.cohort)
                collector.set_info(STATS_GROUP, dict(self._progress) if watched else {})

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """Carries out one task; whatever goes wrong becomes a reply that says so."""
        fl_ctx.set_prop(COHORT_PROPERTY, self.cohort, private=True, sticky=False)
        fl_ctx.set_prop(RUN_PROPERTY, self.run_key, private=True, sticky=False)
        try:
            check_server(task_name, fl_ctx)
            protected = self._protected_check(shareable, fl_ctx) if task_name == TASK_CHECK else None
            return protected or self._execute(task_name, shareable, fl_ctx, abort_signal)
        except FedVoxelError as error:
            self.log_error(fl_ctx, f"event=task_failed task={task_name} reason={error}", fire_event=False)
            return error_reply(str(error))
        except OSError as error:
            self.log_error(fl_ctx, f"event=task_failed task={task_name} errno={error.errno}", fire_event=False)
            return error_reply(_file_trouble(error))

    def _protected_check(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable | None:
        """Answers a check of a job on a protected cohort, without a look at its cases; None for any other cohort."""
        num_rounds = int(FLModelUtils.from_shareable(shareable).total_rounds or 0)
        told = private_readiness(_local(fl_ctx), self.cohort, self.privacy, num_rounds)
        return None if told is None else result_reply(told, {}, difference=False)

    def _begin(self, fl_ctx: FLContext) -> str | None:
        """Begins the run here unless it has begun, and returns why it cannot, which the audit log says once.

        It is tried with the run's start and with every task: what was wrong, a damaged ledger say, may have been put
        back meanwhile.
        """
        if self._begun:
            return None
        problem = None if self._process else self._open(fl_ctx)
        if problem is None or problem != self._refused:
            told = begun_job(fl_ctx, self.cohort, self.run_key, problem)
            self._refused, problem = problem if told == problem else None, told
        self._begun = problem is None
        return problem

    def _open(self, fl_ctx: FLContext) -> str | None:
        """Starts the run's trainer, and returns why it cannot be started."""
        try:
            said = ("cohort", "classes", "plan", "training", "privacy")
            task = parse_config(TrainingTask, {name: getattr(self, name) for name in said}, "the job")
            workspace = workspace_of(fl_ctx)
            site_file = _local(fl_ctx) / SITE_FILE
            compute = self._compute(site_file, fl_ctx)
            self._section = task.privacy
            self._protection(fl_ctx)
            self._folder = run_state_folder(fl_ctx, self.run_key)
            site = fl_ctx.get_identity_name()
            setup = TrainerSetup(task=task, site=site, site_file=str(site_file), state_folder=str(self._folder))
            log_file = Path(workspace.get_run_dir(fl_ctx.get_job_id())) / "trainer.log"
            self._updates = SiteUpdates(self._folder, self.cohort, site, task.training.seed)
            self._private = PrivateAnswers(self._updates.codec)
            self._task_hash = task.identity
            self._secure = SecureAnswers(_local(fl_ctx).parent, self._folder, self._task_hash)
            process = TrainerProcess(setup, log_file, compute.threads)
            process.start()
        except (FedVoxelError, OSError) as error:
            problem = _file_trouble(error) if isinstance(error, OSError) else str(error)
            self.log_error(fl_ctx, f"event=job_refused reason={problem}", fire_event=False)
            return problem
        self._process = process
        return None

    def _protection(self, fl_ctx: FLContext) -> "PrivateRounds | None":
        """Returns what the hospital's policy asks for as it stands now; see `private_rounds`."""
        return private_rounds(_local(fl_ctx), self.cohort, self._section, self.run_key, fl_ctx.get_job_id())

    def _compute(self, site_file: Path, fl_ctx: FLContext) -> ComputeConfig:
        """Reads what the trainer may use; what is wrong with the site's own file is said in the site's log only."""
        try:
            return load_site_config(site_file).compute
        except ConfigError as error:
            self.log_error(fl_ctx, f"event=site_file_unusable reason={error}", fire_event=False)
            raise ConfigError("the site's own file cannot be used; `fedvoxel site check` there says why") from None

    def _execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        check_not_halted(state := state_folder(fl_ctx))
        problem = self._begin(fl_ctx)
        if problem or not self._process or not self._folder:
            raise ConfigError(problem or "the run has not started")
        rounds = self._protection(fl_ctx)
        if task_name == TASK_SUBMIT_MODEL:
            return result_reply({}, load_local_model(self._folder, self.cohort), difference=False)
        if rounds and task_name not in (TASK_INITIALIZE, TASK_TRAIN, *SECURE_TASKS):
            # Before the trainer is asked: whether it could tells of the cases.
            raise ConfigError(f"a job under a privacy section answers rounds and initial weights only, not {task_name}")
        model = FLModelUtils.from_shareable(shareable)
        run_id = str(model.meta.get("run_id") or fl_ctx.get_job_id())
        if task_name in SECURE_TASKS and self._secure:
            terms = terms_of(_local(fl_ctx).parent, self.cohort, self._section)
            return self._secure.answer(task_name, model, terms)
        if task_name == TASK_TRAIN:
            check_in_sums(_local(fl_ctx), self.cohort, model.meta.get("secure") is not None)
            check_same_section(self.privacy, model.meta.get("privacy"))
            model.meta["accepted"] = model.meta["accepted"].get(fl_ctx.get_identity_name())
            begin_training(self._folder, self.cohort, run_id, self._task_hash)
        progress, kept = self._progress.update, None if rounds else SiteState(self._folder, self.cohort).checkpoint_file
        asking = partial(self._process.ask_on, checkpoint=kept)
        ask = partial(asking, should_stop=lambda: abort_signal.triggered or is_halted(state), on_progress=progress)
        if task_name == TASK_TRAIN and rounds and self._secure and self._private:
            return self._private.answer(rounds, model, ask, self._secure)
        if task_name == TASK_TRAIN and self._updates and self._secure:
            basis = basis_of(_local(fl_ctx), self.cohort, run_id, self._task_hash)
            return self._updates.answer(model, ask, self._command(task_name, model), self._secure, basis)
        command, arrays = self._command(task_name, model), model.params or {}
        if task_name == TASK_VALIDATE and self._updates:
            arrays = self._updates.scored(model, ask)
        answer = ask(Message(command, arrays))
        if task_name == TASK_VALIDATE:
            return scores_reply(answer, str(model.meta["split"]), str(model.meta.get("model")), self._folder)
        return result_reply(public_header(answer), answer.arrays, difference=False)

    def _command(self, task_name: str, model: FLModel) -> dict[str, Any]:
        if task_name == TASK_INITIALIZE:
            return {"command": "initialize"}
        if task_name == TASK_CHECK:
            return {"command": "check"}
        if task_name == TASK_VALIDATE:
            if model.meta["split"] not in ("validation", "test"):
                # What a model scores on the cases that it was trained on tells who they were.
                raise ConfigError("scores of validation or test cases may be asked for, and no others")
            return {"command": "evaluate", "split": model.meta["split"]}
        if task_name == TASK_TRAIN and self._folder:
            keep_as = str(local_model_file(self._folder, self.cohort))
            rounds = {"round": model.current_round, "num_rounds": model.total_rounds}
            rounds |= {"correction": model.meta["correction"]}
            return {"command": "train", "validate": bool(model.meta["validate"]), "keep_as": keep_as, **rounds}
        raise ConfigError(f"unknown task {task_name!r}; this site answers initialize, train, validate and submit_model")


def _local(fl_ctx: FLContext) -> Path:
    """Returns the kit's `local/` folder, which holds the hospital's own files."""
    return Path(workspace_of(fl_ctx).get_site_config_dir()).resolve()


def _file_trouble(error: OSError) -> str:
    return f"the site could not read or write its files ({error.strerror})"
