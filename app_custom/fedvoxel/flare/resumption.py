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
import time
from collections.abc import Callable
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

from fedvoxel.errors import DiskFullError, FedVoxelError, LockedError
from fedvoxel.flare.interrupted_runs import (
    ORPHANED,
    STUCK,
    InterruptedRun,
    begun_jobs,
    check_room,
    fail_damaged,
    give_up,
    interrupted_runs,
    is_training_job,
)
from fedvoxel.flare.messages import RESUME_WAITS, RESUMED_AS
from fedvoxel.flare.round_journal import RoundJournal
from fedvoxel.flare.run_journal import JOURNAL
from fedvoxel.flare.start_check import let_start, why_not
from fedvoxel.flare.state_folder import state_folder, workspace_of
from fedvoxel.flare.steady_scheduling import outlive_errors
from fedvoxel.governance.restored_runs import RESTORED_MARK
from fedvoxel.governance.shut_out import read_shut_out

_OF_ONE_JOB = (
    JobMetaKey.JOB_ID,
    JobMetaKey.STATUS,
    JobMetaKey.SUBMIT_TIME,
    JobMetaKey.SUBMIT_TIME_ISO,
    JobMetaKey.START_TIME,
    JobMetaKey.DURATION,
    JobMetaKey.RESULT_LOCATION,
    JobMetaKey.JOB_DEPLOY_DETAIL,
    JobMetaKey.SCHEDULE_COUNT,
    JobMetaKey.LAST_SCHEDULE_TIME,
    JobMetaKey.SCHEDULE_HISTORY,
    JobMetaKey.JOB_CLIENTS,
)
_UNENDED = [RunStatus.RUNNING, RunStatus.DISPATCHED]
_SITES_WAIT_S = 60.0
"""How long a run's next attempt waits until all sites of the run are connected again; then it takes who is there."""
_LOOK_S = 0.5

_FOR_SITES = "until its sites are connected again"
_FOR_THE_NEXT_TRY = "since the server could not submit the next job; it tries again, and its log says why"

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0
"""What could not be done, on a full disk say, is tried again after a pause, doubled each time."""


class Resumption(FLComponent):
    """Ends orphaned jobs truthfully, and begins the next attempt at each interrupted run."""

    def __init__(self) -> None:
        """Does nothing yet."""
        super().__init__()
        self._orphans: list[str] = []
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._stop = threading.Event()
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
            self._find_orphans(fl_ctx)
        elif event_type == EventType.SYSTEM_START and self._engine:
            threading.Thread(target=self._work, name="fedvoxel-resumption", daemon=True).start()
        elif event_type == EventType.JOB_COMPLETED:
            told = fl_ctx.get_prop(FLContextKey.EVENT_DATA) or {}
            self._ended.put(str(told.get(JobMetaKey.JOB_ID.value, "")))
        elif event_type == EventType.BEFORE_CHECK_CLIENT_RESOURCES:
            if not let_start(fl_ctx):
                self._ended.put("")  # what was ended may have been the next attempt at a run
        elif event_type == EventType.SYSTEM_END:
            self._stop.set()
            self._ended.put("")

    @property
    def _jobs(self) -> Any:
        return self._engine.get_component(SystemComponents.JOB_MANAGER)

    def _work(self) -> None:
        ended, pause_s = [] if self._restored.is_file() else list(self._orphans), _FIRST_PAUSE_S
        while True:
            done = self._turn(ended)
            ended = [] if done else ended
            with suppress(queue.Empty):
                ended.append(self._ended.get(timeout=None if done else pause_s))
            if self._stop.is_set():
                return
            pause_s = _FIRST_PAUSE_S if done else min(2.0 * pause_s, _LONGEST_PAUSE_S)

    def _turn(self, ended: list[str]) -> bool:
        """Does what there is to do, and says whether all of it could be done."""
        try:
            with self._engine.new_context() as fl_ctx:
                self._end_orphans(fl_ctx)
                return self._look(fl_ctx, ended) and not self._orphans
        except Exception:  # as of a job that is deleted while all are listed: this thread ends with the server only
            self.logger.exception("event=resumption_failed")
            return False

    def _look(self, fl_ctx: FLContext, ended: list[str]) -> bool:
        """Goes on with every interrupted run, and begins those jobs again that died before their run had a journal.

        Returns:
            Whether all of that could be done.
        """
        done = [self._carefully("of a damaged journal", partial(fail_damaged, self._runs))]
        begun, promised = begun_jobs(self._runs), set[str]()
        metas = {job.job_id: job.meta for job in self._jobs.get_all_jobs(fl_ctx)}
        for run in list(interrupted_runs(self._runs, metas)):
            done.append(self._carefully(run.last_job, partial(self._go_on, fl_ctx, run)))
            promised.add(run.last_job)
        begun |= promised
        follow = {meta.get(JobMetaKey.CLONED_FROM.value): job_id for job_id, meta in metas.items()}
        for job_id in {job_id for job_id, meta in metas.items() if meta.get(RESUMED_AS) == ""} - promised:
            # Whoever watches it would wait for ever: its journal is damaged, say, or a person has gone on with the run.
            told = {RESUMED_AS: follow.get(job_id)}
            done.append(self._carefully(job_id, partial(self._jobs.update_meta, job_id, told, fl_ctx)))
        for job_id in set(ended) & set(metas) - begun:
            done.append(self._carefully(job_id, partial(self._begin_again, fl_ctx, job_id)))
        return all(done)

    def _carefully(self, job_id: str, do: Callable[[], None]) -> bool:
        """Does something about one job and says whether it could; the others are looked after all the same."""
        try:
            do()
        except (FedVoxelError, OSError, RuntimeError, StorageException, ValueError) as error:
            self.logger.error(f"event=run_not_resumed job={job_id} reason={error}")
            return False
        return True

    def _find_orphans(self, fl_ctx: FLContext) -> None:
        """Finds jobs that are said to run, while nothing runs yet: a process has left them that died."""
        restored = self._restored.is_file()
        # What waited when a backup was made may have run since, and drawn its noise.
        unended = [*_UNENDED, RunStatus.SUBMITTED] if restored else _UNENDED
        self._orphans = [job.job_id for job in self._jobs.get_jobs_by_status(unended, fl_ctx)]
        if restored:
            self._end_orphans(fl_ctx)  # before FLARE starts one that waited

    def _end_orphans(self, fl_ctx: FLContext) -> None:
        self._orphans = [job for job in self._orphans if not self._carefully(job, partial(self._end, fl_ctx, job))]
        if not self._orphans:
            self._carefully("of a backup", partial(self._restored.unlink, missing_ok=True))

    def _end(self, fl_ctx: FLContext, job_id: str) -> None:
        """Says of an orphaned job that it has ended, with what it has left as its result."""
        folder = Path(self._workspace.get_run_dir(job_id))
        if folder.is_dir():
            self._jobs.save_workspace(job_id, [str(folder)], fl_ctx)
            shutil.rmtree(folder)
        self._jobs.update_meta(job_id, {ORPHANED: True}, fl_ctx)
        self._jobs.set_status(job_id, RunStatus.FINISHED_ABNORMAL, fl_ctx)
        self.log_warning(fl_ctx, f"event=orphan_ended job={job_id}", fire_event=False)

    def _go_on(self, fl_ctx: FLContext, run: InterruptedRun) -> None:
        why = STUCK if run.is_stuck else why_not(self._jobs, self._job(fl_ctx, run.last_job), fl_ctx)
        if why:
            give_up(run, why)
            self._jobs.update_meta(run.last_job, {RESUMED_AS: None}, fl_ctx)
            said = f"event=run_given_up run={run.entry.run_key} job={run.last_job} reason={why}"
            self.log_error(fl_ctx, said, fire_event=False)
            return
        # Who watches the job is told at once that its run is to go on, and what it waits for.
        try:
            check_room(run.folder)
            RoundJournal(run.folder / JOURNAL).check_free()
            self._jobs.update_meta(run.last_job, {RESUMED_AS: "", RESUME_WAITS: _FOR_SITES}, fl_ctx)
            self._wait_for(set(run.entry.sites))
            self._submit_again(fl_ctx, self._job(fl_ctx, run.last_job))
        except Exception as error:
            waits = f"since {error}" if isinstance(error, (DiskFullError, LockedError)) else _FOR_THE_NEXT_TRY
            self._jobs.update_meta(run.last_job, {RESUMED_AS: "", RESUME_WAITS: waits}, fl_ctx)
            raise

    def _begin_again(self, fl_ctx: FLContext, job_id: str) -> None:
        """Submits a training job again whose process was killed before its run had a journal; once."""
        job = self._job(fl_ctx, job_id)
        killed = job.meta.get(JobMetaKey.STATUS.value) == RunStatus.FINISHED_ABNORMAL.value
        before = job.meta.get(JobMetaKey.CLONED_FROM.value) or job.meta.get(RESUMED_AS)
        if killed and not before and is_training_job(self._jobs.get_content(job.meta, fl_ctx)):
            if why_not(self._jobs, job, fl_ctx):
                return
            self._wait_for(set())
            self._submit_again(fl_ctx, job)

    def _job(self, fl_ctx: FLContext, job_id: str) -> Job:
        job: Job | None = self._jobs.get_job(job_id, fl_ctx)
        if job is None:
            raise StorageException(f"job {job_id} is there no more")
        return job

    def _submit_again(self, fl_ctx: FLContext, job: Job) -> None:
        dropped = {key.value for key in _OF_ONE_JOB} | {RESUMED_AS, RESUME_WAITS, ORPHANED}
        meta = {str(key): value for key, value in job.meta.items() if key not in dropped}
        made = self._jobs.clone(job.job_id, meta | {JobMetaKey.CLONED_FROM.value: job.job_id}, fl_ctx)
        new = made[JobMetaKey.JOB_ID.value]
        self._jobs.update_meta(job.job_id, {RESUMED_AS: new}, fl_ctx)
        self.log_info(fl_ctx, f"event=run_resumed job={job.job_id} as={new}", fire_event=False)

    def _wait_for(self, sites: set[str]) -> None:
        """Waits until these sites are connected; without names, until at least one is and no more have come lately.

        Who is shut out cannot come, and is not waited for.
        """
        ends, since, seen = time.monotonic() + _SITES_WAIT_S, time.monotonic(), set[str]()
        while time.monotonic() < ends and not self._stop.wait(_LOOK_S):
            connected = {client.name for client in self._engine.get_clients()}
            if connected != seen:
                since, seen = time.monotonic(), connected
            awaited = sites - read_shut_out(self._runs.parent)
            if awaited <= connected and (awaited or (connected and time.monotonic() - since > _SITES_WAIT_S / 6)):
                return
