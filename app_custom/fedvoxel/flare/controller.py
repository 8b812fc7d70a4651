"""The server's side of a federated training job: FLARE's model controller around `federation.rounds`.

It asks, converts and records; every decision about updates, models and scores is made by the core. Whatever happens,
the job's result holds an `outcome.json` that says what was committed and who was missing or refused, and why.
"""

from contextlib import ExitStack
from typing import Any

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.widgets.info_collector import GroupInfoCollector, InfoCollector

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, FedVoxelError, LedgerError
from fedvoxel.federation.attempts import RunStatus
from fedvoxel.federation.claim import claim_of
from fedvoxel.federation.kept_models import BeforeSite
from fedvoxel.federation.promise import check_promise_of
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.flare.kept_view import keeping_view
from fedvoxel.flare.messages import STATS_GROUP
from fedvoxel.flare.run_ending import NO_OUTCOME, Ending, ending_of, write_trouble
from fedvoxel.flare.run_files import Planned, RunFiles
from fedvoxel.flare.run_journal import RunJournal, job_hash
from fedvoxel.flare.run_view import RunView
from fedvoxel.flare.server_privacy import server_privacy
from fedvoxel.flare.site_tasks import SiteTasks
from fedvoxel.flare.start_model import Start, load_start, load_start_before
from fedvoxel.flare.state_folder import run_state_folder, state_folder
from fedvoxel.flare.training_run import TrainingRun


class FedAvgController(SiteTasks):
    """Runs federated averaging with quorum, deadline, validation, early stopping and a truthful outcome."""

    def __init__(
        self,
        rounds: dict[str, Any],
        run_key: str,
        privacy: dict[str, Any] | None = None,
        start_from: str | dict[str, Any] | None = None,
        plan_source: str | None = None,
        choices: str | None = None,
        task_check_period: float = 0.1,
    ) -> None:
        """Keeps the job's words; they are checked when the run starts.

        Args:
            rounds: A `RoundsConfig` as JSON.
            run_key: Names the run in the server's and the sites' state.
            privacy: The same privacy section that the sites get, as JSON; None protects nobody.
            start_from: Key of an earlier run on this server whose last model this one begins with; or a `BeforeSite`
                as JSON, for that run's model from before a site joined; None for weights drawn from the job's seed.
            plan_source: Where the sites' preprocessing plan comes from, a `federation.channels.PlanSource`.
            choices: By what all else in the job was chosen, a `federation.channels.Choices`.
            task_check_period: Seconds between two looks at open tasks.
        """
        super().__init__(task_check_period)
        self.rounds, self.run_key, self.privacy, self.start_from = rounds, run_key, privacy, start_from
        self.plan_source, self.choices = plan_source, choices
        self._view = RunView()

    def run(self) -> None:
        """Runs the job; ends it as failed for FLARE too, if it failed."""
        try:
            status, reason = self._run_and_record(sorted(client.name for client in self.engine.get_clients()))
        except (FedVoxelError, OSError) as error:
            status, reason = "failed", f"{write_trouble(error)}; {NO_OUTCOME}"
        self._view.show(phase="done", status=status, reason=reason)
        if status in ("failed", "unfinished") or (status == "aborted" and not self.abort_signal.triggered):
            # FLARE ends a panicking job as one that died, which is what an unfinished run is gone on with after.
            self.panic(f"the run {'failed' if status == 'failed' else 'has stopped'}: {reason}")

    def _run_and_record(self, sites: list[str]) -> Ending:
        journal: RunJournal | None = None
        with ExitStack() as held:
            try:
                config = parse_config(RoundsConfig, self.rounds, "the job's rounds section")
                start = self._start(sites)
                begun = start.record if start else None
                claim = claim_of(self.privacy, config, start=begun, plan_source=self.plan_source, choices=self.choices)
                check_promise_of(self.fl_ctx.get_prop(FLContextKey.JOB_META), claim)
                journal = self._open_journal(start, sites, held)
                if journal.ended_well:
                    return RunFiles(self.fl_ctx, self.run_key, sites, Planned()).again()
                attempt = self.run_key, self.fl_ctx.get_job_id(), journal.entry.committed
                privacy = server_privacy(self.privacy, state_folder(self.fl_ctx), attempt, len(sites))
                journal.begin(sites, config.min_sites)
                planned, entry = Planned(config.num_rounds, claim, start), journal.entry
                files = RunFiles(self.fl_ctx, self.run_key, entry.sites, planned, entry.attempts, journal.outcome)
            except (FedVoxelError, OSError) as error:
                return self._end_unbegun(error, journal, sites)
            files.recorder.site_versions = self.site_versions
            held.enter_context(keeping_view(run_state_folder(self.fl_ctx, self.run_key), attempt[1], self._shown))
            run = TrainingRun(self, config, files, journal, self._view, privacy)
            ending = run.go(sites, start)
            if ending[0] == "unfinished":
                files.interrupted(run.state, ending[1])
            else:
                ending = files.finish(*ending, run.state)
            self._end_journal(journal, ending[0])
            return ending

    def _end_unbegun(self, error: FedVoxelError | OSError, journal: RunJournal | None, sites: list[str]) -> Ending:
        """Ends an attempt that could not begin, and its run, where the server would go on with it and in vain."""
        if journal is None or not journal.goes_on_by_itself:
            return RunFiles(self.fl_ctx, self.run_key, sites, Planned()).finish("failed", write_trouble(error), None)
        attempts = journal.entry.attempts
        files = RunFiles(self.fl_ctx, self.run_key, sites, Planned(), attempts, journal.outcome)
        ending = files.finish(*ending_of(error), None)
        self._end_journal(journal, ending[0])
        return ending

    def _open_journal(self, start: Start | None, sites: list[str], held: ExitStack) -> RunJournal:
        """Returns the run's journal, which no other job may write as long as `held` is open."""
        words = {"rounds": self.rounds, "privacy": self.privacy, "plan_source": self.plan_source}
        words |= {"choices": self.choices, "start": start.record.words_of_job if start else None}
        journal = RunJournal(self.fl_ctx, self.run_key, job_hash(self.fl_ctx, words))
        held.enter_context(journal.writing())
        journal.open(sites)
        return journal

    def _end_journal(self, journal: RunJournal, status: RunStatus) -> None:
        if status == "unfinished":
            return
        try:
            journal.end(status, stopped=status == "aborted" and not self.abort_signal.triggered)
        except (LedgerError, OSError) as error:
            # The outcome is written; whoever begins this job again goes on after its last round, and ends at once.
            self.error(f"event=journal_not_ended reason={write_trouble(error)}")

    def _start(self, sites: list[str]) -> Start | None:
        if self.start_from is None:
            return None
        runs, named = state_folder(self.fl_ctx) / "runs", self.start_from
        before = None if isinstance(named, str) else parse_config(BeforeSite, named, "the job's start_from")
        run_key = before.run_key if before else str(named)
        if run_key == self.run_key:
            raise ConfigError("start_from names this run itself; name an earlier one, or null")
        return load_start_before(runs, before, sites) if before else load_start(runs, run_key)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Answers show_stats with the run's progress."""
        super().handle_event(event_type, fl_ctx)
        if event_type == InfoCollector.EVENT_TYPE_GET_STATS:
            collector = fl_ctx.get_prop(InfoCollector.CTX_KEY_STATS_COLLECTOR)
            if isinstance(collector, GroupInfoCollector):
                collector.set_info(STATS_GROUP, {"progress": self._shown()})

    def _shown(self) -> dict[str, Any]:
        return self._view.shown(self.waits, self.given_up)
