"""Goes on with runs that were interrupted: a component of the server's kit, in FLARE's parent process.

FLARE resumes nothing. When the server's machine dies, its job stays RUNNING for ever, and can be neither aborted,
deleted nor downloaded; when the job's process dies, FLARE ends the job. Here an orphaned job gets a status that is
true, and the next attempt at its run is submitted: a copy of the stored job, with the signatures of whoever submitted
it, so that the sites check that person and no key of a person lies on the server.

A run is gone on with if a process died under it. One that a person aborted, or that failed by itself, has ended. No
job is begun, this way or by FLARE, whose signature does not count any more; see `start_check`.
"""

import queue
import shutil
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey, SystemComponents
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import Job, JobMetaKey, RunStatus
from nvflare.apis.storage import StorageException
from nvflare.apis.workspace import Workspace

from fedvoxel.errors import ConsortiumError, DiskFullError, FedVoxelError, LockedError
from fedvoxel.flare.interrupted_runs import (
    ORPHANED,
    STUCK,
    InterruptedRun,
    begun_jobs,
    fail_damaged,
    give_up,
    interrupted_runs,
    is_training_job,
    make_ready,
)
from fedvoxel.flare.lost_sites import LostSites
from fedvoxel.flare.messages import RESUME_WAITS, RESUMED_AS
from fedvoxel.flare.next_attempt import FOR_A_LOOK, Needed, SitesWait, promises, submit_again
from fedvoxel.flare.start_check import hold_back, let_start, why_not
from fedvoxel.flare.state_folder import state_folder, workspace_of
from fedvoxel.flare.steady_scheduling import outlive_errors
from fedvoxel.governance.incidents.kept_out import kept_out
from fedvoxel.governance.restored_runs import RESTORED_MARK

_UNENDED = [RunStatus.RUNNING, RunStatus.DISPATCHED]
_LOOK_S = 0.5

_FOR_SITES = "until its sites are connected again"
_FOR_THE_NEXT_TRY = "since the server could not submit the next job; it tries again, and its log says why"

_SAYABLE = (ConsortiumError, DiskFullError, LockedError)

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0
"""What could not be done, on a full disk say, is tried again after a pause, doubled each time."""


class Resumption(FLComponent):
    """Ends orphaned jobs truthfully, and begins the next attempt at each interrupted run."""

    def __init__(self) -> None:
        """Does nothing yet."""
        super().__init__()
        self._orphans: list[str] | None = None
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stop, self._sites_wait, self._lost_sites = threading.Event(), SitesWait(), LostSites()
        self._engine: Any = None
        self._workspace: Workspace
        self._runs: Path
        self._restored: Path

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Finds orphans before FLARE starts jobs, and looks whenever a job has ended."""
        if event_type == EventType.SYSTEM_BOOTSTRAP:
            self._engine, self._workspace = fl_ctx.get_engine(), workspace_of(fl_ctx)
            self._runs, self._restored = state_folder(fl_ctx) / "runs", state_folder(fl_ctx) / RESTORED_MARK
            outlive_errors(self._engine.job_runner)
            self._lost_sites.listen(self._engine)
            self._find_orphans(fl_ctx)
        elif event_type == EventType.SYSTEM_START and self._engine:
            threading.Thread(target=self._work, name="fedvoxel-resumption", daemon=True).start()
        elif event_type in (EventType.JOB_COMPLETED, EventType.JOB_ABORTED):
            told = fl_ctx.get_prop(FLContextKey.EVENT_DATA) or {}
            self._ended.put(str(told.get(JobMetaKey.JOB_ID.value, "")))
        elif event_type == EventType.BEFORE_CHECK_CLIENT_RESOURCES:
            if self._orphans is None or self._restored.is_file():
                hold_back(fl_ctx)
            elif not let_start(fl_ctx):
                self._ended.put("")  # what was ended may have been the next attempt at a run
        elif event_type == EventType.SYSTEM_END:
            self._stop.set()
            self._ended.put("")

    @property
    def _jobs(self) -> Any:
        return self._engine.get_component(SystemComponents.JOB_MANAGER)

    def _work(self) -> None:
        ended, pause_s = list[str](), _FIRST_PAUSE_S
        while True:
            done = self._turn(ended)
            with suppress(queue.Empty):
                ended.append(self._ended.get(timeout=None if done else pause_s))
            if self._stop.is_set():
                return
            pause_s = _FIRST_PAUSE_S if done else min(2.0 * pause_s, _LONGEST_PAUSE_S)

    def _turn(self, ended: list[str]) -> bool:
        """Does what there is to do, and says whether all of it could be done."""
        try:
            with self._engine.new_context() as fl_ctx:
                orphans_ended = self._end_orphans(fl_ctx)
                return self._look(fl_ctx, ended) and orphans_ended
        except Exception:  # as of a job that is deleted while all are listed: this thread ends with the server only
            self.logger.exception("event=resumption_failed")
            return False

    def _look(self, fl_ctx: FLContext, ended: list[str]) -> bool:
        """Goes on with every interrupted run, and begins those jobs again that died before their run had a journal.

        It empties the list of jobs that have ended once that is on record, and says whether all else could be done too.
        """
        done = [self._carefully("of a damaged journal", partial(fail_damaged, self._runs))]
        metas = {job.job_id: job.meta for job in self._jobs.get_all_jobs(fl_ctx)}
        self._lost_sites.mark(self._jobs, metas, fl_ctx)
        runs = {run.last_job: run for run in interrupted_runs(self._runs, metas)}
        begun = begun_jobs(self._runs) | set(runs)
        lost = [job for job in metas if job not in begun and self._died_early(fl_ctx, metas[job], job in ended)]
        goes_on: dict[str, InterruptedRun | None] = runs | dict.fromkeys(lost)
        words = promises(metas, goes_on)
        done += [self._carefully(job, partial(self._jobs.update_meta, job, words[job], fl_ctx)) for job in words]
        if all(done):
            ended.clear()  # the promise says from now on that there is something to do
        ready: dict[str, Needed] = {}
        for job, run in goes_on.items():
            done.append(self._or_says_why(fl_ctx, job, partial(self._prepare, fl_ctx, job, run, ready)))
        return self._submit_when_back(fl_ctx, ready) and all(done)

    def _died_early(self, fl_ctx: FLContext, meta: Mapping[str, Any], ended: bool) -> bool:
        """Says of a job without a journal whether it is begun again: a training job that was killed, and once."""
        said, killed = meta.get(RESUMED_AS), meta.get(JobMetaKey.STATUS.value) == RunStatus.FINISHED_ABNORMAL.value
        if not killed or said or meta.get(JobMetaKey.CLONED_FROM.value) or (said is None and not ended):
            return False
        return is_training_job(self._jobs.get_content(meta, fl_ctx))

    def _carefully(self, job_id: str, do: Callable[[], None]) -> bool:
        """Does something about one job and says whether it could; the others are looked after all the same."""
        try:
            do()
        except (FedVoxelError, OSError, RuntimeError, StorageException, ValueError) as error:
            self.logger.error(f"event=run_not_resumed job={job_id} reason={error}")
            return False
        return True

    def _or_says_why(self, fl_ctx: FLContext, job_id: str, do: Callable[[], None]) -> bool:
        """Does something for a run's next attempt, or tells whoever watches the last one why that has to wait."""

        def does() -> None:
            try:
                do()
            except Exception as error:
                waits = f"since {error}" if isinstance(error, _SAYABLE) else _FOR_THE_NEXT_TRY
                self._jobs.update_meta(job_id, {RESUMED_AS: "", RESUME_WAITS: waits}, fl_ctx)
                raise

        return self._carefully(job_id, does)

    def _find_orphans(self, fl_ctx: FLContext) -> None:
        """Finds jobs that are said to run, while nothing runs yet: a process has left them that died."""
        restored = self._restored.is_file()
        # What waited when a backup was made may have run since, and drawn its noise.
        unended = [*_UNENDED, RunStatus.SUBMITTED] if restored else _UNENDED
        self._orphans = [
            job.job_id
            for job in self._jobs.get_all_jobs(fl_ctx)
            if job.meta.get(JobMetaKey.STATUS.value) in unended or (restored and job.meta.get(RESUMED_AS) == "")
        ]

    def _end_orphans(self, fl_ctx: FLContext) -> bool:
        """Says whether all orphans could be ended; of a backup's, FLARE starts no job before."""
        if self._orphans is None:
            self._find_orphans(fl_ctx)
        self._orphans = [
            job for job in self._orphans or () if not self._carefully(job, partial(self._end, fl_ctx, job))
        ]
        return not self._orphans and self._carefully("of a backup", partial(self._restored.unlink, missing_ok=True))

    def _end(self, fl_ctx: FLContext, job_id: str) -> None:
        """Says of an orphaned job that it has ended, with what it has left as its result."""
        folder = Path(self._workspace.get_run_dir(job_id))
        if folder.is_dir():
            self._jobs.save_workspace(job_id, [str(folder)], fl_ctx)
            shutil.rmtree(folder)
        # What waited in a backup is not begun again either.
        word = {RESUMED_AS: None} if self._restored.is_file() else {RESUMED_AS: "", RESUME_WAITS: FOR_A_LOOK}
        self._jobs.update_meta(job_id, {ORPHANED: True} | word, fl_ctx)
        self._jobs.set_status(job_id, RunStatus.FINISHED_ABNORMAL, fl_ctx)
        self.log_warning(fl_ctx, f"event=orphan_ended job={job_id}", fire_event=False)

    def _prepare(self, fl_ctx: FLContext, job_id: str, run: InterruptedRun | None, ready: dict[str, Needed]) -> None:
        """Adds a job to those that wait for nothing but their sites; ends a run that cannot go on."""
        job = self._job(fl_ctx, job_id)
        why = STUCK if run and run.is_stuck else why_not(self._jobs, job, fl_ctx)
        if why:
            if run:
                give_up(run, why)
            self._jobs.update_meta(job_id, {RESUMED_AS: None}, fl_ctx)
            self.log_error(fl_ctx, f"event=run_given_up job={job_id} reason={why}", fire_event=False)
            return
        if run:
            make_ready(run)
        self._jobs.update_meta(job_id, {RESUMED_AS: "", RESUME_WAITS: _FOR_SITES}, fl_ctx)
        ready[job_id] = Needed(set(run.entry.sites), run.entry.min_sites) if run else Needed()

    def _submit_when_back(self, fl_ctx: FLContext, ready: dict[str, Needed]) -> bool:
        """Submits the next attempts when their sites are connected again; who is shut out is not waited for.

        Returns:
            Whether all could be submitted. The server's end, or a job's, which is looked at first, ends the wait.
        """
        self._sites_wait.begin(ready)
        done = True
        while ready and not self._stop.is_set():
            connected = {client.name for client in self._engine.get_clients()}
            out = kept_out(self._runs.parent).keys()
            wait = self._sites_wait
            for job_id in [job for job, need in ready.items() if wait.is_over(job, need.without(out), connected)]:
                done &= self._or_says_why(fl_ctx, job_id, partial(self._submit_again, fl_ctx, job_id))
                del ready[job_id]
            if ready and (not self._ended.empty() or self._stop.wait(_LOOK_S)):
                break
        return done and not ready

    def _submit_again(self, fl_ctx: FLContext, job_id: str) -> None:
        new = submit_again(self._jobs, self._job(fl_ctx, job_id), fl_ctx)
        self.log_info(fl_ctx, f"event=run_resumed job={job_id} as={new}", fire_event=False)

    def _job(self, fl_ctx: FLContext, job_id: str) -> Job:
        job: Job | None = self._jobs.get_job(job_id, fl_ctx)
        if job is None:
            raise StorageException(f"job {job_id} is there no more")
        return job
