"""The server's side of a federated training job: FLARE's model controller around `federation.rounds`.

It asks, converts and records; every decision about updates, models and scores is made by the core. Whatever happens,
the job's result holds an `outcome.json` that says what was committed and who was missing or refused, and why.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.widgets.info_collector import GroupInfoCollector, InfoCollector

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, FedVoxelError, JobError, UpdateError
from fedvoxel.federation.attempts import RunStatus
from fedvoxel.federation.claim import claim_of
from fedvoxel.federation.promise import check_promise_of
from fedvoxel.federation.round_notes import RoundNotes
from fedvoxel.federation.round_worth import RoundWorth
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.run_state import RunState, model_in
from fedvoxel.federation.selection import Selector
from fedvoxel.federation.site_checks import check_sites
from fedvoxel.federation.vetting import Vetting
from fedvoxel.flare.first_model import first_model
from fedvoxel.flare.messages import STATS_GROUP
from fedvoxel.flare.plain_round import PlainRound
from fedvoxel.flare.round_messages import RoundMessages
from fedvoxel.flare.round_replies import RoundReplies
from fedvoxel.flare.run_files import NO_OUTCOME, Ending, Planned, RunFiles, write_trouble
from fedvoxel.flare.run_journal import RunJournal, job_hash
from fedvoxel.flare.run_view import RunView
from fedvoxel.flare.scoring import Scoring
from fedvoxel.flare.secure_round import SecureRound
from fedvoxel.flare.server_privacy import ServerPrivacy, server_privacy
from fedvoxel.flare.site_tasks import SiteTasks
from fedvoxel.flare.start_model import Start, load_start
from fedvoxel.flare.state_folder import startup_folder, state_folder
from fedvoxel.records.identity import load_root
from fedvoxel.updates.update import Arrays


class FedAvgController(SiteTasks):
    """Runs federated averaging with quorum, deadline, validation, early stopping and a truthful outcome."""

    def __init__(
        self,
        rounds: dict[str, Any],
        run_key: str,
        privacy: dict[str, Any] | None = None,
        start_from: str | None = None,
        plan_source: str | None = None,
        choices: str | None = None,
        task_check_period: float = 0.1,
    ) -> None:
        """Keeps the job's words; they are checked when the run starts.

        Args:
            rounds: A `RoundsConfig` as JSON.
            run_key: Names the run in the server's and the sites' state.
            privacy: The same privacy section that the sites get, as JSON; None protects nobody.
            start_from: Key of an earlier run on this server whose last model this one begins with; None for weights
                drawn from the job's seed.
            plan_source: Where the sites' preprocessing plan comes from, a `federation.channels.PlanSource`.
            choices: By what all else in the job was chosen, a `federation.channels.Choices`.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(task_check_period)
        self.rounds, self.run_key, self.privacy, self.start_from = rounds, run_key, privacy, start_from
        self.plan_source, self.choices = plan_source, choices
        self._state: Rounds | None = None
        self._files: RunFiles | None = None
        self._view = RunView()
        self._privacy = ServerPrivacy()
        self._journal: RunJournal
        self._vetting: Vetting

    def run(self) -> None:
        """Runs the job; ends it as failed for FLARE too, if it failed."""
        try:
            status, reason = self._run_and_record(sorted(client.name for client in self.engine.get_clients()))
        except OSError as error:
            status, reason = "failed", f"{write_trouble(error)}; {NO_OUTCOME}"
        self._view.show(phase="done", status=status, reason=reason)
        if status == "failed":
            self.panic(f"the run failed: {reason}")

    def _run_and_record(self, sites: list[str]) -> Ending:
        with ExitStack() as held:
            try:
                config = parse_config(RoundsConfig, self.rounds, "the job's rounds section")
                start = self._start()
                begun = start.record if start else None
                claim = claim_of(self.privacy, config, start=begun, plan_source=self.plan_source, choices=self.choices)
                check_promise_of(self.fl_ctx.get_prop(FLContextKey.JOB_META), claim)
                journal = self._open_journal(start, held)
                if journal.ended_well:
                    return RunFiles(self.fl_ctx, self.run_key, sites, Planned()).again()
                state, done = state_folder(self.fl_ctx), journal.entry.committed
                run = self.run_key, self.fl_ctx.get_job_id(), done
                self._privacy = server_privacy(self.privacy, state, run, len(sites))
            except FedVoxelError as error:
                self._files = RunFiles(self.fl_ctx, self.run_key, sites, Planned())
                return self._files.finish("failed", str(error), None)
            journal.begin(sites)
            planned, entry = Planned(config.num_rounds, claim, start), journal.entry
            self._files = RunFiles(self.fl_ctx, self.run_key, entry.sites, planned, entry.attempts)
            status, reason = self._files.finish(*self._run(config, sites, start), self._state)
            self._end_journal(status)
            return status, reason

    def _open_journal(self, start: Start | None, held: ExitStack) -> RunJournal:
        """Returns the run's journal, which no other job may write as long as `held` is open."""
        words = {"rounds": self.rounds, "privacy": self.privacy, "plan_source": self.plan_source}
        words |= {"choices": self.choices, "start": start.record.model_dump(mode="json") if start else None}
        self._journal = RunJournal(self.fl_ctx, self.run_key, job_hash(self.fl_ctx, words))
        held.enter_context(self._journal.writing())
        self._journal.open()
        return self._journal

    def _end_journal(self, status: RunStatus) -> None:
        try:
            self._journal.end(status)
        except OSError as error:
            # The outcome is written; whoever begins this job again goes on after its last round, and ends at once.
            self.error(f"event=journal_not_ended reason={write_trouble(error)}")

    def _start(self) -> Start | None:
        if self.start_from is None:
            return None
        if self.start_from == self.run_key:
            raise ConfigError("start_from names this run itself; name an earlier one, or null")
        return load_start(state_folder(self.fl_ctx) / "runs", self.start_from)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Answers show_stats with the run's progress."""
        super().handle_event(event_type, fl_ctx)
        if event_type == InfoCollector.EVENT_TYPE_GET_STATS:
            collector = fl_ctx.get_prop(InfoCollector.CTX_KEY_STATS_COLLECTOR)
            if isinstance(collector, GroupInfoCollector):
                collector.set_info(STATS_GROUP, {"progress": self._view.shown()})

    def _run(self, config: RoundsConfig, sites: list[str], start: Start | None) -> Ending:
        self._view.show(rounds_planned=config.num_rounds, started=time.time(), validation=[], phase="starting")
        self._view.show(attempts=len(self._journal.entry.attempts))
        self._view.sites(sites, "waiting")
        try:
            check_sites(config, sites, private=self.privacy is not None)
            run = self._open_run(config, sites, start)
            state = run.rounds
            while not state.finished and not state.out_of_patience:
                self._one_round(run)
            if config.evaluate:
                self._score_last(state, sites)
        except JobError as error:
            return "aborted", str(error)
        except FedVoxelError as error:
            return "failed", str(error)
        except OSError as error:
            return "failed", write_trouble(error)
        if state.finished:
            return "finished", None
        return "stopped_early", f"no better validation score for {config.patience} rounds"

    def _open_run(self, config: RoundsConfig, sites: list[str], start: Start | None) -> RunState:
        """Returns the run before its next round: as the journal has it, or before its first."""
        kept, files = self._journal.state(), self._run_files()
        first = model_in(kept) if kept else start.arrays if start else self._first_model(config, sites)
        state = Rounds(config, first, self._privacy.mechanism or self._privacy.shared)
        self._vetting = Vetting(self.run_key, config.case_counts, private=self.privacy is not None)
        self._vetting.begins(state.model)
        selector = Selector(config.selection, sites, config.min_sites)
        evaluate = self._scoring(state).validation
        worth = RoundWorth(config.contribution, state, sites, evaluate) if config.contribution else None
        run = RunState(state, selector, self._vetting, files.recorder, worth)
        if kept:
            run.restore(kept)
            self._privacy.note_released(state.round, partial(files.keep_release, state.model))
            self.info(f"event=run_goes_on round={state.round} attempt={len(self._journal.entry.attempts)}")
        else:
            self._journal.commit(run)
        self._state = state
        files.begin(state)
        self._show_scores(state)
        return run

    def _first_model(self, config: RoundsConfig, sites: list[str]) -> Arrays:
        recorder = self._run_files().recorder
        try:
            return first_model(self.ask, sites, config.round_timeout_s, recorder)
        finally:
            recorder.first_model_up = self.line.taken().up

    def _one_round(self, run: RunState) -> None:
        state, selector, recorder = run.rounds, run.selector, run.recorder
        index = state.round
        replies = RoundReplies(state, self._vetting, recorder, self._view, self._privacy.receipts)
        notes = replies.notes
        self._view.show(phase="training", round=index, round_started=time.time())
        choice = selector.choose(index, self.is_away)
        notes.not_selected = dict(choice.left_out)
        self._view.sites(choice.asked, "training")
        self._view.absent("not_selected", choice.left_out)
        try:
            self._train(state, selector, choice.asked, replies)
            self._look_at(run.worth, state, replies)
        finally:
            # However it ended, the record and the audit have who gave no usable answer.
            notes.contribution_bytes_down = self.line.taken().down
            recorder.close_round(notes)
        replies.tell(selector)
        self._close_round(run, notes)

    def _train(self, state: Rounds, selector: Selector, sites: Sequence[str], replies: RoundReplies) -> None:
        started, notes = time.monotonic(), replies.notes
        messages = RoundMessages(state, self.privacy, self._journal.entry.run_id)
        notes.codecs = messages.codecs
        try:
            self._exchange(state, selector).run(sites, messages, replies)
        finally:
            notes.seconds = time.monotonic() - started
            line = self.line.taken()
            notes.bytes_down, notes.bytes_up = line.down, line.up
            notes.secure_bytes_down, notes.secure_bytes_up = line.told_down, line.told_up
            self._view.absent("missing", notes.missing)
            self._view.absent("refused", notes.refused)
            self._privacy.write()

    def _exchange(self, state: Rounds, selector: Selector) -> PlainRound | SecureRound:
        secure = state.config.secure_aggregation
        if secure is None:
            return PlainRound(state, selector, self.ask)
        root = load_root(startup_folder(self.fl_ctx) / "rootCA.pem")
        return SecureRound(state, secure, self.run_key, root, self.ask)

    def _close_round(self, run: RunState, notes: RoundNotes) -> None:
        state, files = run.rounds, self._run_files()
        index, before = state.round, state.model
        try:
            state.close_round(lambda: self._commit(run, index, before))
        except UpdateError as error:
            raise UpdateError(f"round {index}: {error} ({notes.reasons})") from None
        self._show_scores(state)
        files.commit_round(state, notes)

    def _commit(self, run: RunState, index: int, before: Arrays) -> None:
        """Has all that a round has made on disk before anybody gets it, and a model with noise in the ledger too."""
        model = run.rounds.model
        self._vetting.moved(index, before, model)
        self._journal.commit(run)
        self._privacy.note_released(run.rounds.round, partial(self._run_files().keep_release, model))

    def _score_last(self, state: Rounds, sites: list[str]) -> None:
        """Has the last model validated, and then the best one tested."""
        recorder, scoring = self._run_files().recorder, self._scoring(state)
        self._view.show(phase="validation")
        absences = scoring.validate_last(sites)
        recorder.validation_down = self.line.taken().down
        recorder.close_validation(absences)
        self._show_scores(state)
        self._view.show(phase="test")
        absences = scoring.test(sites)
        recorder.test_down = self.line.taken().down
        recorder.close_test(absences)

    def _scoring(self, state: Rounds) -> Scoring:
        return Scoring(state, self._vetting, self._run_files().recorder, self.ask)

    def _look_at(self, worth: RoundWorth | None, state: Rounds, replies: RoundReplies) -> None:
        """Notes what each of the round's updates is worth; a model that cannot be scored costs that note only."""
        if not worth:
            return
        self._view.show(phase="contribution")
        try:
            replies.notes.contribution = worth.of(replies.updates)
        except (UpdateError, ConfigError) as error:
            self.warning(f"event=no_contribution round={state.round} reason={error}")

    def _show_scores(self, state: Rounds) -> None:
        self._view.scores(state)
        self._view.show(round_seconds=self._run_files().recorder.round_seconds)

    def _run_files(self) -> RunFiles:
        if self._files is None:
            raise JobError("the run has not started")
        return self._files
