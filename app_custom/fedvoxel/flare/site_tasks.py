"""Asks sites and gathers their replies, tolerantly: an error, a lost site or a late one never ends the run by itself.

Stock FLARE waits for every sampled client without a deadline and stops the job at the first bad reply. Here a bad reply
is noted with its reason, a site that FLARE has found disconnected is not waited for, and every wait has an end.
"""

import gc
import sys
import threading
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.workflows.model_controller import ModelController

from fedvoxel.errors import JobError
from fedvoxel.federation.pace import Question
from fedvoxel.federation.slow_sites import SlowSites
from fedvoxel.federation.waits import OpenQuestion, Wait
from fedvoxel.flare.exchange import Exchange, LineBytes
from fedvoxel.flare.fetching import NOT_FETCHED, Fetches, leave_arrays_at_sites, size_bytes
from fedvoxel.flare.gathered import Gathered
from fedvoxel.flare.job_sites import JobSites
from fedvoxel.flare.messages import error_of, refusal_of
from fedvoxel.flare.pacing import RequestPace, pace_downloads
from fedvoxel.flare.state_folder import state_folder
from fedvoxel.flare.versions import meet_sites, tell_versions
from fedvoxel.governance.incidents.kept_out import kept_out
from fedvoxel.governance.incidents.switches import QUARANTINED, check_not_halted, quarantined

_TIDY_EVERY_S = 0.5
"""FLARE's messages hold themselves, and their buffers, in reference cycles; they are looked for so often."""

_TORCH_DOWNLOADS = "nvflare.app_opt.pt.tensor_downloader"

OnReply = Callable[[str, FLModel], None]
"""Takes a site's name and reply; raises UpdateError to refuse it."""

_ABORTED = (
    "the run was aborted: by a person (FLARE's status is then ABORTED), or by FLARE because fewer sites were left than "
    "the job's min_clients. Where their lines were cut, it goes on by itself; where their job processes could not run, "
    "for a class that is not on the sites' allow-list say, their logs say why"
)


class SiteTasks(ModelController):
    """Is a model controller whose only way to ask sites is `ask`."""

    def __init__(self, task_check_period: float = 0.1) -> None:
        """Takes no persistor: models are kept as plain arrays by the subclasses."""
        super().__init__(persistor_id="", ignore_result_error=True, task_check_period=task_check_period)
        self.line = LineBytes()
        """What all exchanges together have sent and received."""
        self.site_versions: dict[str, str] = {}
        """The release that each site runs, as it told when it last came."""
        self.job_sites = JobSites()
        self._open = Exchange()
        self._processed = threading.local()
        self._pace: RequestPace
        self._sites = 0
        self.waits: list[dict[str, Any]] = []
        """Who is waited for at the moment, since when and until when (seconds since the epoch), and why."""
        self.given_up: dict[str, str] = {}
        """Who was asked, has not replied, and is not waited for at the moment, with the reason."""
        self._slow: dict[str, SlowSites] = {}

    def ask(self, task_name: str, model: FLModel, sites: Collection[str], wait: Wait, on_reply: OnReply) -> Gathered:
        """Sends one task to `sites` and waits as `wait` says.

        Raises:
            JobError: The run was aborted meanwhile.
        """
        check_not_halted(state_folder(self.fl_ctx))
        exchange, good, refused = Exchange(task_name=task_name), set[str](), dict[str, str]()
        fetching = Fetches(self.engine.get_cell(), size_bytes(model.params))
        with self.line.sending(exchange, model), fetching as fetches:

            def take(site: str, reply: FLModel) -> None:
                if self._is_out(site):  # since its answer was noted, and before its arrays were here
                    exchange.failed[site] = QUARANTINED
                    return
                reason = self._refusal(on_reply, site, reply)
                if reason is None:
                    good.add(site)
                else:
                    refused[site] = reason
                    self.warning(f"event=update_refused site={site} task={task_name} reason={reason}")

            def receive(reply: FLModel) -> bool:
                site = str(reply.meta["client_name"])
                fail = partial(exchange.failed.setdefault, site)
                if site in exchange.answered or not fetches.add(reply, partial(take, site), fail):
                    self.warning(f"event=late_reply site={site} task={task_name}")
                    return False
                exchange.answered.add(site)
                return True

            exchange.receive, self._open = receive, exchange
            try:
                self._send(task_name, model, sites, int(wait.timeout_s) + 1)
                question = OpenQuestion(sites, wait)
                slow = self._wait_for(task_name, question, good, refused)
            finally:
                self.cancel_all_tasks()
        absent = self._absent(exchange, question, [site for site in sites if site not in good and site not in refused])
        return Gathered(absent.missing, refused, slow, absent.silent)

    def _send(self, task_name: str, model: FLModel, sites: Collection[str], timeout_s: int) -> None:
        """Gives the open question's task to the sites that may have it."""
        asked = sorted(site for site in sites if not self._is_out(site))
        # They never have it, also where they are let in meanwhile: nobody waits for them.
        self._open.failed |= dict.fromkeys(set(sites).difference(asked), QUARANTINED)
        if asked:  # FLARE takes nobody for everybody
            receive = self._open.receive
            self.broadcast_model(model, task_name, asked, 0, timeout_s, blocking=False, callback=receive)

    def _is_out(self, site: str) -> bool:
        """Says whether a site is in quarantine; also where nobody can tell, which ends the job anyhow."""
        try:
            return site in quarantined(state_folder(self.fl_ctx))
        except JobError:
            return True

    def _absent(self, exchange: Exchange, question: OpenQuestion, sites: Collection[str]) -> Gathered:
        """Returns why these sites gave no reply, and who of them was only silent."""
        failed, out = dict(exchange.failed), kept_out(state_folder(self.fl_ctx))
        missing = {site: failed.get(site) or out.get(site) or question.why(site) for site in sites}
        for site, reason in missing.items():
            self.warning(f"event=site_missing site={site} task={exchange.task_name} reason={reason}")
        wrong = {site for site, reason in failed.items() if not reason.startswith(NOT_FETCHED)}
        return Gathered(missing, {}, silent=frozenset(sites) - wrong - out.keys())

    def is_away(self, site: str) -> bool:
        """Says whether FLARE has found a site disconnected, its certificate is revoked, or it is in quarantine."""
        return bool(self._away([site]))

    def _away(self, sites: Collection[str]) -> list[str]:
        out = kept_out(state_folder(self.fl_ctx))
        return [site for site in sites if site in out or self.communicator.get_client_disconnect_time(site)]

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Notes which site comes for the open question."""
        super().handle_event(event_type, fl_ctx)
        site = fl_ctx.get_peer_context() if event_type == EventType.BEFORE_TASK_DATA_FILTER else None
        if isinstance(site, FLContext):
            self._open.fetched.append(site.get_identity_name())

    def start_controller(self, fl_ctx: FLContext) -> None:
        """Starts the workflow, which paces the arrays that go out and come in, for the sake of the server's memory."""
        super().start_controller(fl_ctx)
        tell_versions(fl_ctx)
        meet_sites(self.communicator, lambda: self._open, self.site_versions, self._is_out)
        self._pace = RequestPace(fl_ctx.get_prop(FLContextKey.RUNNER).config)
        self._sites = len(self.engine.get_clients())
        leave_arrays_at_sites(self.engine.get_cell())
        pace_downloads()
        self.job_sites.listen(self.engine)
        gc.freeze()

    def stop_controller(self, fl_ctx: FLContext) -> None:
        """Ends the workflow, and keeps torch out of the server's process where torch is installed.

        FLARE ends every workflow with a look for unfinished downloads of tensors, for which it imports torch: two
        seconds and 170 MB, for a job that sends arrays only. Without torch it goes without that look, as it does here.
        """
        sys.modules.setdefault(_TORCH_DOWNLOADS, None)  # type: ignore[arg-type]
        super().stop_controller(fl_ctx)

    def _refusal(self, on_reply: OnReply, site: str, reply: FLModel) -> str | None:
        """Counts a reply and hands it on, and returns why it was refused or None."""
        try:
            self.line.received(reply)
            on_reply(site, reply)
        except Exception as error:
            return refusal_of(error)
        return None

    def _wait_for(
        self, task_name: str, question: OpenQuestion, good: set[str], refused: dict[str, str]
    ) -> dict[str, str]:
        """Waits until the question is over, and returns what is to be said of sites that took unusually long."""
        started, asked = time.monotonic(), time.time()
        tidied, exchange, come = started, self._open, 0
        slow, took_s = self._slow.setdefault(task_name, SlowSites()), dict[str, float]()
        while True:
            now = time.monotonic()
            if now - tidied > _TIDY_EVERY_S:
                gc.collect()
                tidied = time.monotonic()
            if self.abort_signal.triggered:
                raise JobError(_ABORTED)
            check_not_halted(state_folder(self.fl_ctx))
            came, bad = exchange.fetched[come:], {*refused, *exchange.failed}
            come += len(came)
            question.came(came)
            question.look(now - started, good, bad, self._away(question.sites))
            took_s = dict.fromkeys(good, question.elapsed_s) | took_s
            if question.over:
                break
            self._show_waits(question, asked, slow.slow(dict.fromkeys(question.working, question.elapsed_s), took_s))
            self._pace.wait(self._question(task_name, question.elapsed_s, set(question.working), question.ends_s), good)
            time.sleep(self._task_check_period)
        self.waits, self.given_up = [], {}
        self._pace.done(task_name, good, question.elapsed_s)
        said = slow.slow(took_s, took_s)
        slow.note(took_s)
        return said

    def _show_waits(self, question: OpenQuestion, asked: float, slow: dict[str, str]) -> None:
        self.waits = [
            {"site": each.site, "since": asked + each.since_s, "until": asked + each.until_s, "reason": each.reason}
            for each in question.waits(slow, self._open.answered)
        ]
        self.given_up = question.given_up

    def _question(self, task_name: str, elapsed_s: float, working: set[str], ends_s: float) -> Question:
        coming = not working <= set(self._open.fetched)
        return Question(task_name, elapsed_s, frozenset(working), self._sites, coming, ends_s)

    def _process_result(self, client_task: ClientTask, fl_ctx: FLContext) -> None:
        """Notes a reply that FLARE could not even convert, which would otherwise be waited for until the deadline."""
        site, exchange = client_task.client.name, self._open
        if client_task.task.get_prop(AppConstants.TASK_PROP_CALLBACK) is not exchange.receive:
            self.warning(f"event=late_reply site={site} task={client_task.task.name}")
            return
        # The last reply ends the exchange, and the next one may begin in another thread before this one is done here.
        self._processed.exchange = exchange
        super()._process_result(client_task, fl_ctx)
        if site not in exchange.answered:
            exchange.failed.setdefault(site, "an unreadable reply")

    def _accept_train_result(
        self, client_name: str, result: Shareable, fl_ctx: FLContext, is_unknown_task: bool = False
    ) -> bool:
        """Notes a bad reply with its reason instead of stopping the job."""
        if is_unknown_task:
            self.warning(f"event=late_reply site={client_name}")
            return False
        if result.get_return_code() not in (None, ReturnCode.OK):
            self._processed.exchange.failed[client_name] = error_of(result)
            return False
        return True
