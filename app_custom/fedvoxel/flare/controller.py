"""The server's side of a federated training job: FLARE's model controller around `federation.rounds`.

It asks, converts and records; every decision about updates, models and scores is made by the core. Whatever happens,
the job's result holds an `outcome.json` that says what was committed and who was missing or refused, and why.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from nvflare.apis.fl_context import FLContext
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.widgets.info_collector import GroupInfoCollector, InfoCollector

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, FedVoxelError, JobError, UpdateError
from fedvoxel.federation.claim import claim_of
from fedvoxel.federation.cross_site import GLOBAL_MODEL
from fedvoxel.federation.outcome import Absences, SiteScore
from fedvoxel.federation.recorder import RoundNotes
from fedvoxel.federation.rounds import Rounds, RoundsConfig, mean_dice
from fedvoxel.flare.messages import NO_ARRAYS, STATS_GROUP, TASK_INITIALIZE, TASK_TRAIN, TASK_VALIDATE
from fedvoxel.flare.run_files import NO_OUTCOME, Ending, RunFiles, write_trouble
from fedvoxel.flare.site_tasks import SiteTasks, Wait
from fedvoxel.updates.update import Arrays, Update, check_values


class FedAvgController(SiteTasks):
    """Runs federated averaging with quorum, deadline, validation, early stopping and a truthful outcome."""

    def __init__(
        self,
        rounds: dict[str, Any],
        run_key: str,
        privacy: dict[str, Any] | None = None,
        task_check_period: float = 0.1,
    ) -> None:
        """Keeps the job's words; they are checked when the run starts.

        Args:
            rounds: A `RoundsConfig` as JSON.
            run_key: Names the run in the server's and the sites' state.
            privacy: The same privacy section that the sites get, as JSON; None protects nobody.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(task_check_period)
        self.rounds, self.run_key, self.privacy = rounds, run_key, privacy
        self._state: Rounds | None = None
        self._files: RunFiles | None = None
        self._view: dict[str, Any] = {}

    def run(self) -> None:
        """Runs the job; ends it as failed for FLARE too, if it failed."""
        try:
            status, reason = self._run_and_record(sorted(client.name for client in self.engine.get_clients()))
        except OSError as error:
            status, reason = "failed", f"{write_trouble(error)}; {NO_OUTCOME}"
        self._show(phase="done", status=status, reason=reason)
        if status == "failed":
            self.panic(f"the run failed: {reason}")

    def _run_and_record(self, sites: list[str]) -> Ending:
        try:
            config = parse_config(RoundsConfig, self.rounds, "the job's rounds section")
            privacy = claim_of(self.privacy, config)
        except ConfigError as error:
            self._files = RunFiles(self.fl_ctx, self.run_key, sites, 0)
            return self._files.finish("failed", str(error), None)
        self._files = RunFiles(self.fl_ctx, self.run_key, sites, config.num_rounds, privacy)
        status, reason = self._run(config, sites)
        return self._files.finish(status, reason, self._state)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Answers show_stats with the run's progress."""
        super().handle_event(event_type, fl_ctx)
        if event_type == InfoCollector.EVENT_TYPE_GET_STATS:
            collector = fl_ctx.get_prop(InfoCollector.CTX_KEY_STATS_COLLECTOR)
            if isinstance(collector, GroupInfoCollector):
                collector.set_info(STATS_GROUP, {"progress": dict(self._view)})

    def _run(self, config: RoundsConfig, sites: list[str]) -> Ending:
        self._view = {"rounds_planned": config.num_rounds, "started": time.time(), "validation": []}
        try:
            self._show(phase="starting", sites={site: _site("waiting") for site in sites})
            state = self._state = Rounds(config, self._initial_model(config, sites))
            while not state.finished and not state.out_of_patience:
                self._one_round(state, sites)
            if config.evaluate:
                self._validate_last(state, sites)
                self._test(state, sites)
        except JobError as error:
            return "aborted", str(error)
        except FedVoxelError as error:
            return "failed", str(error)
        except OSError as error:
            return "failed", write_trouble(error)
        if state.finished:
            return "finished", None
        return "stopped_early", f"no better validation score for {config.patience} rounds"

    def _initial_model(self, config: RoundsConfig, sites: list[str]) -> Arrays:
        """Asks one site after another for the initial weights, which every site draws from the job's seed alike."""
        received: dict[str, Arrays] = {}
        reasons: dict[str, str] = {}

        def receive(site: str, reply: FLModel) -> None:
            arrays: Arrays = reply.params or {}
            if not arrays:
                raise UpdateError("an empty initial model")
            check_values(arrays)
            received[site] = arrays

        for site in sites:
            gathered = self.ask(
                TASK_INITIALIZE, FLModel(metrics=dict(NO_ARRAYS)), [site], Wait(config.round_timeout_s), receive
            )
            if site in received:
                return received[site]
            reasons |= gathered.missing | gathered.refused
        said = "; ".join(f"{site}: {reason}" for site, reason in reasons.items())
        raise ConfigError(f"no site could build the initial model ({said})")

    def _one_round(self, state: Rounds, sites: list[str]) -> None:
        config, notes, index, started = state.config, RoundNotes(), state.round, time.monotonic()
        self._show(
            phase="training", round=index, round_started=time.time(), sites={site: _site("training") for site in sites}
        )

        def receive(site: str, reply: FLModel) -> None:
            self._receive_update(state, notes, site, reply)

        model = FLModel(
            params_type=ParamsType.FULL,
            params=dict(state.model),
            current_round=index,
            total_rounds=config.num_rounds,
            meta={"validate": config.evaluate and index > 0},
        )
        wait = Wait(config.round_timeout_s, config.min_sites, config.grace_s)
        gathered = self.ask(TASK_TRAIN, model, sites, wait, receive)
        notes.missing, notes.refused = gathered.missing, gathered.refused
        self._view["sites"] |= {site: _site("missing", why) for site, why in gathered.missing.items()}
        self._view["sites"] |= {site: _site("refused", why) for site, why in gathered.refused.items()}
        notes.bytes_down = len(sites) * sum(array.nbytes for array in state.model.values())
        self._close_round(state, notes, time.monotonic() - started)

    def _close_round(self, state: Rounds, notes: RoundNotes, seconds: float) -> None:
        files = self._run_files()
        files.recorder.close_round(notes, seconds)
        try:
            state.close_round()
        except UpdateError as error:
            said = "; ".join(f"{site}: {reason}" for site, reason in (notes.missing | notes.refused).items())
            raise UpdateError(f"round {state.round}: {error} ({said})") from None
        self._show_scores(state)
        files.commit_round(state, notes)

    def _receive_update(self, state: Rounds, notes: RoundNotes, site: str, reply: FLModel) -> None:
        """Takes a site's reply as a whole or not at all."""
        meta = reply.meta
        score = state.read_validation(meta["validation"]) if meta.get("validation") is not None else None
        refused_cases = state.read_refused_cases(meta.get("refused_cases"))
        if not meta.get("case_count") and reply.params is None:
            notes.evaluation_only.append(site)
            self._view["sites"][site] = _site("evaluation_only")
        else:
            self._take_update(state, notes, site, reply)
        if score is not None:
            state.add_validation(site, score)
        if refused_cases is not None:
            self._run_files().recorder.refused_cases[site] = refused_cases

    def _take_update(self, state: Rounds, notes: RoundNotes, site: str, reply: FLModel) -> None:
        meta = reply.meta
        if reply.params_type != ParamsType.DIFF:
            got = "full weights" if reply.params else "no arrays"
            raise UpdateError(f"expected a difference to the global model, got {got}")
        loss = meta.get("loss")
        if loss is not None and not (isinstance(loss, float) and math.isfinite(loss)):
            raise UpdateError("expected a finite number as the loss")
        arrays: Mapping[str, Any] = reply.params or {}
        case_count = meta.get("case_count")
        state.add(site, Update(arrays, case_count if isinstance(case_count, int) else 0))
        notes.contributed[site] = int(case_count or 0)
        notes.bytes_up += sum(array.nbytes for array in arrays.values())
        if loss is not None:
            notes.loss[site] = loss
        self._view["sites"][site] = _site("replied")

    def _validate_last(self, state: Rounds, sites: list[str]) -> None:
        self._show(phase="validation")
        self._run_files().recorder.unvalidated = self._evaluate(
            state, sites, "validation", state.model, state.add_validation
        )
        state.score_model()
        self._show_scores(state)

    def _test(self, state: Rounds, sites: list[str]) -> None:
        self._show(phase="test")
        recorder = self._run_files().recorder

        def receive(site: str, score: Any) -> None:
            try:
                recorder.test[site] = parse_config(SiteScore, score, "the test score")
            except ConfigError as error:
                raise UpdateError(str(error)) from None

        recorder.untested = self._evaluate(state, sites, "test", state.best_model or state.model, receive)

    def _evaluate(
        self, state: Rounds, sites: list[str], split: str, model: Arrays, take: Callable[[str, Any], None]
    ) -> Absences:
        message = FLModel(params_type=ParamsType.FULL, params=dict(model), meta={"split": split, "model": GLOBAL_MODEL})
        wait = Wait(state.config.round_timeout_s, state.config.min_sites, state.config.grace_s)
        gathered = self.ask(
            TASK_VALIDATE, message, sites, wait, lambda site, reply: take(site, reply.meta.get("score"))
        )
        return Absences(missing=gathered.missing, refused=gathered.refused)

    def _show(self, **changes: Any) -> None:
        self._view |= changes

    def _show_scores(self, state: Rounds) -> None:
        """Shows the score of every validated round."""
        rows = [
            {
                "round": index,
                "mean_dice": mean_dice(scores),
                "sites": {site: mean_dice({site: score}) for site, score in scores.items()},
            }
            for index, scores in enumerate(state.validation)
        ]
        self._show(validation=rows, round_seconds=self._run_files().recorder.round_seconds)

    def _run_files(self) -> RunFiles:
        if self._files is None:
            raise JobError("the run has not started")
        return self._files


def _site(state: str, reason: str | None = None) -> dict[str, str | None]:
    return {"state": state, "reason": reason}
