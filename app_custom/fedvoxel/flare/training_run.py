"""The rounds of one run, from where its journal says that they go on to the test of its best model.

It asks, converts and records; every decision about updates, models and scores is made by the core.
"""

import time
from collections.abc import Sequence

from fedvoxel.errors import ConfigError, FedVoxelError, JobError, UpdateError
from fedvoxel.federation.absences import Absences
from fedvoxel.federation.quorum import telling_silence
from fedvoxel.federation.round_notes import RoundNotes
from fedvoxel.federation.round_worth import RoundWorth
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.run_state import RunState, model_in
from fedvoxel.federation.selection import Selector
from fedvoxel.federation.site_checks import check_sites
from fedvoxel.federation.vetting import Vetting
from fedvoxel.federation.waits import Wait
from fedvoxel.flare.first_model import first_model
from fedvoxel.flare.not_here import NOT_HERE, note_left_out, reasons_of
from fedvoxel.flare.plain_round import PlainRound
from fedvoxel.flare.round_messages import RoundMessages
from fedvoxel.flare.round_replies import RoundReplies
from fedvoxel.flare.run_ending import Ending, ending_of
from fedvoxel.flare.run_files import RunFiles
from fedvoxel.flare.run_journal import RunJournal
from fedvoxel.flare.run_view import RunView
from fedvoxel.flare.scoring import Scoring
from fedvoxel.flare.secure_round import SecureRound, signers_of
from fedvoxel.flare.server_privacy import ServerPrivacy
from fedvoxel.flare.site_tasks import SiteTasks
from fedvoxel.flare.start_model import Start
from fedvoxel.flare.state_folder import startup_folder, state_folder
from fedvoxel.updates.update import Arrays


class TrainingRun:
    """Carries one attempt at a run through its rounds."""

    def __init__(
        self,
        tasks: SiteTasks,
        config: RoundsConfig,
        files: RunFiles,
        journal: RunJournal,
        view: RunView,
        privacy: ServerPrivacy,
    ) -> None:
        """Takes how sites are asked, the job's rounds, and what of the run is kept, shown and protected."""
        self._tasks, self._config, self._files = tasks, config, files
        self._journal, self._view, self._privacy = journal, view, privacy
        self._sites: list[str] = []
        self._first_round = 0
        self.state: Rounds | None = None
        """The rounds as they stand; None where not even a first model was had."""
        self._vetting: Vetting

    def go(self, sites: list[str], start: Start | None) -> Ending:
        """Runs what is left of the rounds, then the last validation and the test.

        Args:
            sites: Who is in this job.
            start: Where the run begins, unless at weights drawn from the job's seed.
        """
        config, self._sites = self._config, sites
        self._view.show(rounds_planned=config.num_rounds, started=time.time(), validation=[], phase="starting")
        self._view.show(attempts=len(self._journal.entry.attempts))
        self._view.sites(sites, "waiting")
        try:
            check_sites(config, sites, private=self._privacy.section is not None)
            run = self._open(sites, start)
            state = run.rounds
            while not state.finished and not state.out_of_patience:
                if back := self._back(state):
                    return "unfinished", f"{', '.join(back)} connected, and is in the run's next attempt"
                notes = RoundNotes()
                with telling_silence(notes, self._journal.entry.sites, config.min_sites):
                    self._one_round(run, notes)
            if config.evaluate:
                self._score_last(state, sites)
        except JobError as error:
            return "aborted", str(error)
        except (FedVoxelError, OSError) as error:
            return ending_of(error)
        if state.finished:
            return "finished", None
        return "stopped_early", f"no better validation score for {config.patience} rounds"

    def _open(self, sites: list[str], start: Start | None) -> RunState:
        """Returns the run before its next round: as the journal has it, or before its first."""
        config, kept, files = self._config, self._journal.state(), self._files
        first = model_in(kept) if kept else start.arrays if start else self._first_model(sites)
        state = Rounds(config, first, self._privacy.mechanism or self._privacy.shared)
        run_key, private = self._journal.entry.run_key, self._privacy.section is not None
        self._vetting = Vetting(run_key, config.case_counts, private)
        self._vetting.begins(state.model)
        selector = Selector(config.selection, sites, config.min_sites)
        evaluate = self._scoring(state).validation
        worth = RoundWorth(config.contribution, state, sites, evaluate) if config.contribution else None
        run = RunState(state, selector, self._vetting, files.recorder, worth)
        if kept:
            run.restore(kept)
            self._note_released(state)
            self._tasks.info(f"event=run_goes_on round={state.round} attempt={len(self._journal.entry.attempts)}")
        # What is kept of a round that was not committed, or of another run that had this key, does not count.
        files.kept.drop_from(state.round)
        if not kept:
            self._journal.commit(run, files.unfinished(state))
        self.state, self._first_round = state, state.round
        files.audit.began(state.model, self._journal.entry if kept else None)
        files.begin(state)
        self._show_scores(state)
        return run

    def _first_model(self, sites: list[str]) -> Arrays:
        recorder, config = self._files.recorder, self._config
        wait = Wait(config.round_timeout_s, site_timeout_s=config.site_timeout_s)
        try:
            return first_model(self._tasks.ask, sites, wait, recorder)
        finally:
            recorder.first_model_up = self._tasks.line.taken().up

    def _one_round(self, run: RunState, notes: RoundNotes) -> None:
        state, selector, recorder = run.rounds, run.selector, run.recorder
        index = state.round
        replies = RoundReplies(state, notes, self._vetting, recorder, self._view, self._privacy.receipts)
        self._view.show(phase="training", round=index, round_started=time.time())
        choice = selector.choose(index, self._tasks.is_away)
        note_left_out(notes, choice.left_out, state_folder(self._tasks.fl_ctx))
        self._view.sites(choice.asked, "training")
        self._view.absent("not_selected", notes.not_selected)
        self._view.absent("missing", self._not_here)
        try:
            self._train(state, selector, choice.asked, replies)
            self._look_at(run.worth, state, replies)
        finally:
            # However it ended, the record and the audit have who gave no usable answer.
            notes.contribution_bytes_down = self._tasks.line.taken().down
            notes.miss(self._not_here, self._not_come)
            recorder.close_round(notes)
        replies.tell(selector)
        self._close_round(run, notes)

    def _back(self, state: Rounds) -> list[str]:
        """Returns the run's sites that this attempt is to end for, since they are there again.

        It has to have committed a round: so it goes on however often sites come and go.
        """
        if state.round == self._first_round:
            return []
        return sorted(self._not_come & self._tasks.job_sites.connected)

    @property
    def _not_here(self) -> dict[str, str]:
        """Are the run's sites that no message of this attempt reaches, each with the reason."""
        gone = set(self._journal.entry.sites) - set(self._sites)
        return reasons_of(gone, state_folder(self._tasks.fl_ctx))

    @property
    def _not_come(self) -> set[str]:
        """Are those of them who may be in the next attempt."""
        return {site for site, why in self._not_here.items() if why == NOT_HERE}

    def _train(self, state: Rounds, selector: Selector, sites: Sequence[str], replies: RoundReplies) -> None:
        started, notes = time.monotonic(), replies.notes
        messages = RoundMessages(state, self._privacy.section, self._journal.entry.run_id)
        notes.codecs = messages.codecs
        try:
            self._exchange(state, selector).run(sites, messages, replies)
        finally:
            notes.seconds = time.monotonic() - started
            line = self._tasks.line.taken()
            notes.bytes_down, notes.bytes_up = line.down, line.up
            notes.secure_bytes_down, notes.secure_bytes_up = line.told_down, line.told_up
            self._view.absent("missing", notes.missing)
            self._view.absent("refused", notes.refused)
            self._view.absent("not_selected", notes.not_selected)
            self._privacy.write()

    def _exchange(self, state: Rounds, selector: Selector) -> PlainRound | SecureRound:
        secure = state.config.secure_aggregation
        if secure is None:
            return PlainRound(state, selector, self._tasks.ask)
        context = self._tasks.fl_ctx
        signers = signers_of(startup_folder(context), state_folder(context))
        return SecureRound(state, secure, self._journal, signers, self._tasks.ask)

    def _close_round(self, run: RunState, notes: RoundNotes) -> None:
        state, files = run.rounds, self._files
        index, before = state.round, state.model
        try:
            state.close_round(lambda: self._commit(run, index, before))
        except UpdateError as error:
            raise type(error)(f"round {index}: {error} ({notes.reasons})") from None
        self._show_scores(state)
        files.commit_round(state, notes)

    def _commit(self, run: RunState, index: int, before: Arrays) -> None:
        """Has all that a round has made on disk before anybody gets it, and a model with noise in the ledger too."""
        model = run.rounds.model
        self._vetting.moved(index, before, model)
        joined, earlier = run.recorder.joined_in(index)
        if joined:
            self._files.kept.keep(self._journal.entry.run_key, index, (joined, earlier), before)
        self._journal.commit(run, self._files.unfinished(run.rounds))
        self._note_released(run.rounds)

    def _note_released(self, state: Rounds) -> None:
        """Has a model with the server's noise on disk, and then in the audit and the ledger, unless it is there."""

        def keep() -> str:
            sha256 = self._files.keep_release(state.model)
            self._files.recorder.released(state.round - 1, sha256)
            return sha256

        self._privacy.note_released(state.round, keep)

    def _score_last(self, state: Rounds, sites: list[str]) -> None:
        """Has the last model validated, and then the best one tested."""
        recorder, scoring = self._files.recorder, self._scoring(state)
        self._view.show(phase="validation")
        absences = scoring.validate_last(sites).then(Absences(missing=self._not_here))
        recorder.validation_down = self._tasks.line.taken().down
        recorder.close_validation(absences)
        self._show_scores(state)
        self._view.show(phase="test")
        absences = scoring.test(sites).then(Absences(missing=self._not_here))
        recorder.test_down = self._tasks.line.taken().down
        recorder.close_test(absences)

    def _scoring(self, state: Rounds) -> Scoring:
        return Scoring(state, self._vetting, self._files.recorder, self._tasks.ask)

    def _look_at(self, worth: RoundWorth | None, state: Rounds, replies: RoundReplies) -> None:
        """Notes what each of the round's updates is worth; a model that cannot be scored costs that note only."""
        if not worth:
            return
        self._view.show(phase="contribution")
        try:
            replies.notes.contribution = worth.of(replies.updates)
        except (UpdateError, ConfigError) as error:
            self._tasks.warning(f"event=no_contribution round={state.round} reason={error}")

    def _show_scores(self, state: Rounds) -> None:
        self._view.scores(state)
        self._view.show(round_seconds=self._files.recorder.round_seconds)
