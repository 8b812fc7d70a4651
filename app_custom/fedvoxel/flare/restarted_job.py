"""Starts a site's job process, and starts it again when it dies, so that its death costs the site a task and no more.

FLARE's site reports the exit code of a job process that died, and FLARE's server then ends the whole job, whatever its
quorum. Here the dead process is started again in the same job: the server sends it the task that is still open once
more. One that dies too often in an hour, or that says itself that it can't run here (a class that is not on the site's
list, a configuration that cannot be read), is given up with a code that tells the server only that it has ended: the
job goes on with the other sites, and the server finds this one lost.
"""

import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event

from nvflare.apis.fl_constant import FLContextKey, FLMetaKey, JobConstants
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_launcher_spec import JobHandleSpec, JobReturnCode
from nvflare.app_common.job_launcher.client_process_launcher import ClientProcessJobLauncher
from nvflare.app_common.job_launcher.process_launcher import JOB_RETURN_CODE_MAPPING, ProcessHandle

from fedvoxel.errors import ConfigError
from fedvoxel.governance.local_policy import HEARTBEAT_INTERVAL_S

_MOST_RESTARTS = 100
_WINDOW_S = 3600.0
_FIRST_REST_S, _LONGEST_REST_S = 1.0, 60.0
"""Rest before a job process is started again: doubled each time within the hour, as the cause may need time to go."""

_HEARD_S = 2.0 * HEARTBEAT_INTERVAL_S
"""A job is kept on the site's list so long at least: the server misses only what it has heard of."""

_FINAL = (JobReturnCode.UNSAFE_COMPONENT, JobReturnCode.CONFIG_ERROR)
"""What a job process says that could not run here a second time either."""

logger = logging.getLogger(__name__)


class RestartingJobLauncher(ClientProcessJobLauncher):
    """Is FLARE's own launcher of a site's job processes, whose jobs outlive the death of their process."""

    def __init__(self, restarts: int = 5) -> None:
        """Takes how often a job's process is started again within an hour.

        Raises:
            ConfigError: It is no number from 0 to 100.
        """
        super().__init__()
        if isinstance(restarts, bool) or not isinstance(restarts, int) or not 0 <= restarts <= _MOST_RESTARTS:
            raise ConfigError(f"restarts: expected a number from 0 to {_MOST_RESTARTS}, got {restarts!r}")
        self.restarts = restarts

    def launch_job(self, job_meta: dict[str, object], fl_ctx: FLContext) -> JobHandleSpec:
        """Starts the job's process and returns a handle that outlives it."""
        launch = super().launch_job
        job_id = str(job_meta.get(JobConstants.JOB_ID))
        folder = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_run_dir(job_id))
        return RestartedJob(lambda: launch(job_meta, fl_ctx), folder / FLMetaKey.PROCESS_RC_FILE, self.restarts)


class RestartedJob(JobHandleSpec):
    """Is a site's job, whatever process runs it at the moment."""

    def __init__(self, start: Callable[[], ProcessHandle], code_file: Path, restarts: int) -> None:
        """Starts the first process.

        Args:
            start: Starts a process, which leads a process group of its own.
            code_file: Where a process may leave its exit code, which then counts instead of its own.
            restarts: How often another one is started within an hour.
        """
        self._start, self._code_file, self._restarts = start, code_file, restarts
        self._asked_to_end = Event()
        self._ended_as: int = JobReturnCode.UNKNOWN
        self._started_s = time.monotonic()
        self._deaths: deque[float] = deque()
        self._process = start()

    def terminate(self) -> None:
        """Ends the job for good."""
        self._asked_to_end.set()
        self._process.terminate()

    def poll(self) -> int:
        """Returns how the job ended, `JobReturnCode.UNKNOWN` while it has not and where it was given up."""
        return self._ended_as

    def wait(self) -> None:
        """Waits until the job has ended or is given up, and starts its process again where it died."""
        while True:
            code = self._code_of_ended()
            if code == 0 or self._asked_to_end.is_set():
                self._ended_as = JOB_RETURN_CODE_MAPPING.get(code, JobReturnCode.EXECUTION_ERROR)
                return
            if not self._may_start_again(code):
                # The server is told of a job that has ended, not of one that failed.
                self._asked_to_end.wait(max(0.0, self._started_s + _HEARD_S - time.monotonic()))
                return
            if self._asked_to_end.wait(self._rest_s()):
                return
            try:
                self._process = self._start()
            except OSError as error:
                logger.error("event=job_given_up reason=its process could not be started (%s)", error.strerror)
                return
            if self._asked_to_end.is_set():
                # It was asked to end while the process was being started.
                self._process.terminate()

    def _code_of_ended(self) -> int:
        """Waits for the process, ends what it has left running, and returns its exit code."""
        pid = self._process.adapter.pid
        with suppress(ChildProcessError):
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        # Before its number is free again: a trainer that outlives it would hold the memory and files of the next one.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        self._process.wait()
        code = int(self._process.adapter.poll())
        try:
            code = int(self._code_file.read_text(encoding="ascii").splitlines()[0])
        except (OSError, ValueError, IndexError):
            return code
        self._code_file.unlink(missing_ok=True)
        return code

    def _may_start_again(self, code: int) -> bool:
        how = f"signal={-code}" if code < 0 else f"exit_code={code}"
        if code in _FINAL:
            logger.error("event=job_given_up %s reason=it cannot run at this site; the job's log says why", how)
            return False
        now = time.monotonic()
        self._deaths.append(now)
        while now - self._deaths[0] > _WINDOW_S:
            self._deaths.popleft()
        if len(self._deaths) > self._restarts:
            logger.error("event=job_given_up %s deaths_in_an_hour=%d", how, len(self._deaths))
            return False
        logger.warning("event=job_process_died %s restart=%d of=%d", how, len(self._deaths), self._restarts)
        return True

    def _rest_s(self) -> float:
        return min(_FIRST_REST_S * 2.0 ** (len(self._deaths) - 1), _LONGEST_REST_S)
