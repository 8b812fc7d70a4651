"""The files of one run on the server: models, TensorBoard events, the outcome; in the job's result and the state."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey

from fedvoxel.errors import LedgerError
from fedvoxel.federation.absences import MAX_REASON
from fedvoxel.federation.attempts import ENDED_WELL, Attempt, RunStatus
from fedvoxel.federation.claim import Claim
from fedvoxel.federation.kept_models import KeptModels
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.outcome import OUTCOME_FILE, ModelFile, RunOutcome, load_outcome, write_outcome
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.federation.round_notes import RoundNotes
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.run_identity import NOTHING_CLAIMED, RunIdentity
from fedvoxel.flare.event_files import EventFiles
from fedvoxel.flare.outcome_files import OutcomeFiles
from fedvoxel.flare.run_audit import RunAudit
from fedvoxel.flare.run_ending import NO_OUTCOME, Ending, ending_of, write_trouble
from fedvoxel.flare.start_model import Start
from fedvoxel.flare.state_folder import run_state_folder, state_folder, workspace_of
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import HashName
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import save_weights

GLOBAL_MODEL_FILE = "global_model.npz"
BEST_MODEL_FILE = "best_model.npz"
START_MODEL_FILE = "start_model.npz"

Models = tuple[ModelFile | None, ModelFile | None]
"""The files of the last and of the best model."""


_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
    """Is what a job plans, as far as it could be read."""

    rounds: int = 0
    claim: Claim = NOTHING_CLAIMED
    start: Start | None = None


class RunFiles:
    """Writes what a run leaves behind, each file whole or not at all."""

    def __init__(
        self,
        fl_ctx: FLContext,
        run_key: str,
        sites: Sequence[str],
        planned: Planned,
        attempts: tuple[Attempt, ...] = (),
        before: RunOutcome | None = None,
    ) -> None:
        """Makes the folders, keeps the start model, starts the record; `before` is what earlier attempts have left."""
        job_id = fl_ctx.get_job_id()
        self._folder = Path(workspace_of(fl_ctx).get_run_dir(job_id))
        self._state = run_state_folder(fl_ctx, run_key)
        meta = fl_ctx.get_prop(FLContextKey.JOB_META) or {}
        identity = RunIdentity(
            run_key=run_key,
            job_id=job_id,
            job_name=str(meta.get(JobMetaKey.JOB_NAME.value, run_key)),
            sites=tuple(sites),
            rounds_planned=planned.rounds,
            claim=planned.claim,
            start_from=planned.start.record if planned.start else None,
            versions={name: version(name) for name in ("fedvoxel", "nvflare", "numpy")},
            started=attempts[0].started if attempts else datetime.now(UTC),
            attempts=attempts,
        )
        self.kept = KeptModels(self._state)
        """The models from before sites joined."""
        log = AuditLog(state_folder(fl_ctx))
        self.recorder = RunRecorder(identity, log.record)
        self.audit = RunAudit(fl_ctx, log, self.recorder, run_key, sites)
        if planned.start:
            save_weights(self._folder / START_MODEL_FILE, planned.start.arrays)
        self._outcomes = OutcomeFiles(self._folder, self._state)
        # No model files are there in this job's result.
        now = {"job_id": job_id, "attempts": attempts, "model": None, "best_model": None}
        self._before = before and before.model_copy(update=now)
        self._models: Models = (None, None)
        self._events = EventFiles(self._folder / "events")

    def begin(self, state: Rounds) -> None:
        """Writes, before an attempt's first round, what there is of the rounds before it."""
        self._outcomes.of_run = True
        for index, losses in enumerate(self.recorder.losses[: state.round]):
            self._add_losses(index, losses)
        for index in range(len(state.validation)):
            self._add_scores(state, index)
        self.note_unfinished(state)

    def commit_round(self, state: Rounds, notes: RoundNotes) -> None:
        """Writes the global model after a committed round, the round's scalars, and how the run stands."""
        save_weights(self._folder / GLOBAL_MODEL_FILE, state.model)
        self._add_losses(state.round - 1, notes.loss)
        self._add_scores(state, len(state.validation) - 1)
        self._events.flush()
        self.audit.committed(state.round - 1, sha256_of_file(self._folder / GLOBAL_MODEL_FILE))
        self.note_unfinished(state)

    def note_unfinished(self, state: Rounds) -> None:
        """Writes an outcome that is true wherever the server dies: "at least", as the journal commits a round first."""
        self._outcomes.write(self.unfinished(state))

    def unfinished(self, state: Rounds, why: str | None = None) -> RunOutcome:
        """Returns the outcome of a run that has not ended, as its rounds stand, and why its attempt has, if it has."""
        reason = f"the run has not ended: at least {state.round} of {state.config.num_rounds} rounds are committed"
        return self.recorder.outcome("unfinished", "; ".join(filter(None, (reason, why))), datetime.now(UTC), state)

    def interrupted(self, state: Rounds | None, why: str | None) -> None:
        """Writes why an attempt ended whose run goes on; where there is no room, what the last round wrote stands."""
        if state is None:
            return
        try:
            self._outcomes.write(self.unfinished(state, why))
        except OSError as error:
            _logger.warning("event=outcome_not_written reason=%s", write_trouble(error))

    def again(self) -> Ending:
        """Gives this job the result of the run, which has ended well before; it is not run again.

        Raises:
            ConfigError: The run's outcome is damaged.
            OSError: Files are missing, or cannot be written.
        """
        outcome = load_outcome(self._state / OUTCOME_FILE)
        for model in (outcome.model, outcome.best_model):
            if model:
                shutil.copyfile(self._state / model.file, self._folder / model.file)
        said = f"this very job had finished before, as {outcome.job_id}, and its result is given again; to train anew"
        reason = f"{said}, give the job another run_key"
        write_outcome(outcome.model_copy(update={"reason": reason}), self._folder / OUTCOME_FILE)
        return outcome.status, reason

    def keep_release(self, model: Arrays) -> str:
        """Writes a model that has not left yet into the run's state, synced, and returns the SHA-256 of its bytes."""
        save_weights(self._state / GLOBAL_MODEL_FILE, model)
        return sha256_of_file(self._state / GLOBAL_MODEL_FILE)

    def finish(self, status: RunStatus, reason: str | None, state: Rounds | None) -> Ending:
        """Writes the last models, and the outcome into the job's result and the run's state; the audit has the end.

        Returns:
            How the run ended, and why: as given; unfinished where there was no room, which leaves all as the last round
            has left it; failed where not all could be written otherwise. The outcome says the same, wherever it could
            be written.
        """
        status, reason = self._write(status, reason, state)
        if status == "unfinished":
            return status, reason
        files: dict[HashName, Path] = {
            "outcome": self._folder / OUTCOME_FILE,
            "model": self._folder / GLOBAL_MODEL_FILE,
        }
        try:
            hashes = {name: sha256_of_file(path) for name, path in files.items() if path.is_file()}
            self.audit.ended(status, reason, hashes)
        except (LedgerError, OSError) as error:
            stopped, trouble = ending_of(error), write_trouble(error)
            if stopped[0] == "unfinished" and status in ENDED_WELL:
                return self._stop(stopped, state)
            # A log that could not be written before has said so.
            said = [] if trouble in (reason or "") else [trouble]
            why = "; ".join([*([reason] if reason else []), *said])
            return ("failed", why) if status == "failed" else self._fail(why, state)
        return status, reason

    def _write(self, status: RunStatus, reason: str | None, state: Rounds | None) -> Ending:
        ends_run = self._before is not None and status != "unfinished"
        self._outcomes.of_run = self._outcomes.of_run or state is not None or ends_run
        try:
            self._models = self._keep_models(state)
            self._events.close()
            self._outcomes.write(self._outcome(status, reason, state))
        except OSError as error:
            stopped, trouble = ending_of(error), write_trouble(error)
            if stopped[0] == "unfinished" and status in (*ENDED_WELL, "unfinished"):
                return self._stop(stopped, state)
            return self._fail(trouble if reason in (None, trouble) else f"{reason}; {trouble}", state)
        return status, reason

    def _fail(self, reason: str, state: Rounds | None) -> Ending:
        """Has the outcome say that the run has failed, in the place of one that may say better."""
        written = self._outcomes.write_anywhere(self._outcome("failed", reason, state))
        return "failed", reason if written else f"{reason}; {NO_OUTCOME}"

    def _stop(self, ending: Ending, state: Rounds | None) -> Ending:
        """Stops for a time; an outcome that says already that the run has ended is taken back."""
        if state:
            self._outcomes.write_anywhere(self.unfinished(state))
        return ending

    def _outcome(self, status: RunStatus, reason: str | None, state: Rounds | None) -> RunOutcome:
        """Returns the outcome: that of the attempts before, where this one has ended without the run's rounds."""
        now = datetime.now(UTC)
        if state is None and self._before:
            ended = {"status": status, "reason": reason and reason[:MAX_REASON], "finished": now}
            return self._before.model_copy(update=ended)
        return self.recorder.outcome(status, reason, now, state, self._models)

    def _keep_models(self, state: Rounds | None) -> Models:
        if state is None or not state.round:
            return None, None
        self._add_scores(state, len(state.validation) - 1)
        best = self._keep(BEST_MODEL_FILE, state.best_model) if state.best_model else None
        return self._keep(GLOBAL_MODEL_FILE, state.model), best

    def _keep(self, name: str, model: Arrays) -> ModelFile:
        save_weights(self._folder / name, model)
        save_weights(self._state / name, model)
        return ModelFile(file=name, sha256=sha256_of_file(self._folder / name))

    def _add_losses(self, index: int, losses: Mapping[str, float]) -> None:
        for site, loss in losses.items():
            self._events.add(f"loss/{site}", loss, index)

    def _add_scores(self, state: Rounds, index: int) -> None:
        """Adds the scores of a validated round; none where there is no such round."""
        if index < 0:
            return
        mean = mean_dice(state.validation[index])
        if mean is not None:
            self._events.add("validation/mean_dice", mean, index)
        for site, score in state.validation[index].items():
            for name, dice in score.dice.items():
                if dice is not None:
                    self._events.add(f"validation/{name}/{site}", dice, index)
