"""Takes a site that is back into the jobs that it had a part in, from the server's parent process.

A site that starts again registers anew and gets a new token. FLARE knows a running job's sites by the tokens that they
had at its start: it refuses the returned site's job process, were there one, and starts none. Here the site's new token
takes the place of the old one in each of its jobs, the job's process is told, and the site is asked to start the job
that it still holds, by the message that FLARE itself starts jobs with; the site checks it as it does at any start.

A site that was away when the job was offered does not hold it, and FLARE brings nothing to a site later. The job's
process is told that the site is there: if the site has had a part in the run, that goes on in another job, with it.
"""

import threading
from dataclasses import dataclass
from typing import Any

from nvflare.apis.client import ClientPropKey
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey, RunProcessKey, ServerCommandKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import Job, JobMetaKey
from nvflare.apis.job_scheduler_spec import DispatchInfo
from nvflare.apis.shareable import Shareable
from nvflare.private.admin_defs import MsgHeader, ReturnCode
from nvflare.private.defs import ERROR_MSG_PREFIX
from nvflare.utils.job_launcher_utils import get_resource_manager_spec

from fedvoxel.flare.messages import SITE_CONNECTED, SITES_CHANGED
from fedvoxel.flare.state_folder import state_folder
from fedvoxel.governance.sites_heard import SitesHeardNote

_MOST_TRIES = 10
"""One with each heartbeat of the site, which may still be starting when it sends the first."""

_TELL_TIMEOUT_S = 5.0


@dataclass
class _Return:
    """Is a site on its way back into a job, which it holds or which was never brought to it."""

    job_id: str
    site: str
    holds_job: bool = True
    tries: int = 0
    busy: bool = False


class ReturningSites(FLComponent):
    """Notices by a site's heartbeats that it has registered anew, and starts its running jobs there again."""

    def __init__(self) -> None:
        """Knows no site yet."""
        super().__init__()
        self._lock = threading.Lock()
        self._tokens: dict[str, str] = {}
        self._open: dict[tuple[str, str], _Return] = {}
        self._offered: dict[str, set[str]] = {}
        self._heard: SitesHeardNote | None = None

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Looks at who sent a heartbeat, and to whom FLARE offers a job."""
        if event_type == EventType.SYSTEM_BOOTSTRAP:
            self._heard = SitesHeardNote(state_folder(fl_ctx))
        elif event_type == EventType.BEFORE_CHECK_CLIENT_RESOURCES:
            with self._lock:
                job_id = str(fl_ctx.get_prop(FLContextKey.CURRENT_JOB_ID))
                self._offered[job_id] = set(fl_ctx.get_prop(FLContextKey.JOB_PARTICIPANTS) or ())
        elif event_type == EventType.JOB_COMPLETED:
            with self._lock:
                told = fl_ctx.get_prop(FLContextKey.EVENT_DATA) or {}
                self._offered.pop(str(told.get(JobMetaKey.JOB_ID.value)), None)
        if event_type != EventType.CLIENT_HEARTBEAT_RECEIVED:
            return
        peer, engine = fl_ctx.get_peer_context(), fl_ctx.get_engine()
        # Who it is was checked when it registered; a false name here leads to that site's own registration.
        client = engine.client_manager.name_to_clients.get(peer.get_identity_name()) if peer else None
        if client:
            self._heard_of(client, engine)
            if self._heard and client.get_is_leaf() is not False:  # a relay is no site
                self._heard.heard(client.name, str(client.get_prop(ClientPropKey.ORG) or ""))

    def _heard_of(self, client: Any, engine: Any) -> None:
        with self._lock:
            if self._tokens.get(client.name, client.token) != client.token:
                _wait_for_no_outcome(client.name, engine)
            self._tokens[client.name] = client.token
            for job_id in _put_back(client, engine):
                self._open[job_id, client.name] = _Return(job_id, client.name)
            for job_id, offered in self._offered.items():
                if job_id in engine.run_processes and client.name not in offered:
                    offered.add(client.name)
                    self._open[job_id, client.name] = _Return(job_id, client.name, holds_job=False)
            for waiting in list(self._open.values()):
                if waiting.site == client.name and not waiting.busy:
                    waiting.busy = True
                    threading.Thread(target=self._bring_back, args=(waiting, engine), daemon=True).start()

    def _bring_back(self, waiting: _Return, engine: Any) -> None:
        """Tries once; the site's next heartbeat tries again where that failed."""
        waiting.tries += 1
        try:
            trouble = (_start_again if waiting.holds_job else _tell_connected)(waiting, engine)
        except Exception as error:  # whatever FLARE makes of a site or job that is lost again meanwhile
            trouble = f"unexpected {type(error).__name__}"
        said, key = f"site={waiting.site} job={waiting.job_id}", (waiting.job_id, waiting.site)
        with self._lock:
            waiting.busy = False
            # A site that has been restarted once more is on its way back anew.
            if (trouble is None or waiting.tries >= _MOST_TRIES) and self._open.get(key) is waiting:
                del self._open[key]
        if trouble is None:
            self.logger.info(f"event={'site_is_back' if waiting.holds_job else 'site_connected'} {said}")
        else:
            self.logger.warning(f"event=site_not_back {said} try={waiting.tries} of={_MOST_TRIES} reason={trouble}")


def _wait_for_no_outcome(site: str, engine: Any) -> None:
    """Has FLARE not wait for how jobs ended at a site: what ran there went with the machine, and cannot say it."""
    for job_id in engine.job_runner.get_client_outcome_jobs(site):
        engine.job_runner.resolve_client_outcome(job_id, site)


def _put_back(client: Any, engine: Any) -> list[str]:
    """Puts a site's new token in the place of its old one in every running job, and returns those jobs."""
    jobs = []
    for job_id, process in list(engine.run_processes.items()):
        participants = process.get(RunProcessKey.PARTICIPANTS) or {}
        old = [token for token, other in participants.items() if other.name == client.name and token != client.token]
        if old:
            kept = {token: other for token, other in participants.items() if token not in old}
            process[RunProcessKey.PARTICIPANTS] = kept | {client.token: client}
            jobs.append(job_id)
    return jobs


def _start_again(waiting: _Return, engine: Any) -> str | None:
    """Has the job's process know the site, and the site start the job; returns why that failed, or None."""
    job = engine.job_runner.running_jobs.get(waiting.job_id)
    if job is None or waiting.job_id not in engine.run_processes:
        return None  # it has ended meanwhile
    reply = engine.send_app_command(waiting.job_id, SITES_CHANGED, {}, _TELL_TIMEOUT_S)
    known = reply.get(ServerCommandKey.DATA) if isinstance(reply, Shareable) else None
    if not isinstance(known, dict) or waiting.site not in known.get("sites", ()):
        return "the job's process does not know the site yet"
    return _ask_to_start(job, waiting.site, engine)


def _tell_connected(waiting: _Return, engine: Any) -> str | None:
    """Tells the job's process that the site is there; returns why that failed, or None."""
    if waiting.job_id not in engine.run_processes:
        return None  # it has ended meanwhile
    reply = engine.send_app_command(waiting.job_id, SITE_CONNECTED, {"site": waiting.site}, _TELL_TIMEOUT_S)
    noted = isinstance(reply, Shareable) and isinstance(reply.get(ServerCommandKey.DATA), dict)
    return None if noted else "the job's process does not answer"


def _ask_to_start(job: Job, site: str, engine: Any) -> str | None:
    needed = get_resource_manager_spec(job.meta, site)
    with engine.new_context() as fl_ctx:
        enough, token = engine.check_client_resources(job, {site: needed}, fl_ctx).get(site, (False, "no reply"))
        if not enough:
            return f"its resources are not free ({token or 'no reply'})"
        replies = engine.start_client_job(job, {site: DispatchInfo("", needed, token)}, fl_ctx)
    reply = replies[0].reply if replies else None
    if reply is None:
        return "no reply"
    told = str(reply.body)
    bad = reply.get_header(MsgHeader.RETURN_CODE, ReturnCode.OK) != ReturnCode.OK or told.startswith(ERROR_MSG_PREFIX)
    return told if bad else None
