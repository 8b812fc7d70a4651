"""Asks sites and gathers their replies, tolerantly: an error, a lost site or a late one never ends the run by itself.

Stock FLARE waits for every sampled client without a deadline and stops the job at the first bad reply. Here a bad reply
is noted with its reason, a site that FLARE has found disconnected is not waited for, and every wait has an end.
"""

import gc
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

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
from fedvoxel.flare.exchange import Exchange, LineBytes
from fedvoxel.flare.fetching import Fetches, leave_arrays_at_sites, size_bytes
from fedvoxel.flare.messages import LACKS_MODEL, error_of, refusal_of
from fedvoxel.flare.pacing import RequestPace, pace_downloads
from fedvoxel.flare.state_folder import state_folder
from fedvoxel.governance.shut_out import REVOKED, read_shut_out

_TIDY_EVERY_S = 0.5
"""FLARE's messages hold themselves, and their buffers, in reference cycles; they are looked for so often."""

_TORCH_DOWNLOADS = "nvflare.app_opt.pt.tensor_downloader"

OnReply = Callable[[str, FLModel], None]
"""Takes a site's name and reply; raises UpdateError to refuse it."""

_ABORTED = (
    "the run was aborted: by a person (FLARE's status is then ABORTED), or by FLARE because a site's job process could "
    "not run, for example for a class that is not on its allow-list; that site's log says why"
)


@dataclass(frozen=True)
class Wait:
    """Says how long to wait for replies.

    Attributes:
        timeout_s: Longest wait in seconds.
        enough: Good replies after which `grace_s` begins.
        grace_s: Further seconds for the others; None waits for every connected site.
    """

    timeout_s: float
    enough: int = 1
    grace_s: float | None = None

    def ends_s(self, enough_s: float | None) -> float:
        """Returns when nobody is waited for any more.

        Args:
            enough_s: Seconds after which `enough` had replied; None if they have not.
        """
        if enough_s is None or self.grace_s is None:
            return self.timeout_s
        return min(self.timeout_s, enough_s + self.grace_s)


@dataclass(frozen=True)
class Gathered:
    """Says which sites gave no usable reply, and why: `missing` gave none, `refused` a wrong one."""

    missing: dict[str, str]
    refused: dict[str, str]

    @property
    def lacking(self) -> list[str]:
        """Are the sites that have to be sent the whole model."""
        return [site for site, reason in self.missing.items() if reason == LACKS_MODEL]

    def asked_again(self, sites: Collection[str], again: "Gathered") -> "Gathered":
        """Returns this with what came of asking some of the sites a second time in place of the first."""
        missing, refused = (
            {site: reason for site, reason in absent.items() if site not in sites}
            for absent in (self.missing, self.refused)
        )
        return Gathered(missing | again.missing, refused | again.refused)


class SiteTasks(ModelController):
    """Is a model controller whose only way to ask sites is `ask`."""

    def __init__(self, task_check_period: float = 0.1) -> None:
        """Takes no persistor: models are kept as plain arrays by the subclasses."""
        super().__init__(persistor_id="", ignore_result_error=True, task_check_period=task_check_period)
        self.line = LineBytes()
        """What all exchanges together have sent and received."""
        self._open = Exchange()
        self._processed = threading.local()
        self._pace: RequestPace
        self._sites = 0

    def ask(self, task_name: str, model: FLModel, sites: Collection[str], wait: Wait, on_reply: OnReply) -> Gathered:
        """Sends one task to `sites` and waits as `wait` says.

        Raises:
            JobError: The run was aborted meanwhile.
        """
        exchange, good = Exchange(), set[str]()
        refused: dict[str, str] = {}
        fetching = Fetches(self.engine.get_cell(), size_bytes(model.params))
        with self.line.sending(exchange, model), fetching as fetches:

            def take(site: str, reply: FLModel) -> None:
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
            timeout_s = int(wait.timeout_s) + 1
            self.broadcast_model(model, task_name, sorted(sites), 0, timeout_s, blocking=False, callback=receive)
            why = self._wait_for(task_name, set(sites), good, refused, wait)
            self.cancel_all_tasks()
        failed = dict(exchange.failed)
        missing = {site: failed.get(site) or why(site) for site in sites if site not in good and site not in refused}
        for site, reason in missing.items():
            self.warning(f"event=site_missing site={site} task={task_name} reason={reason}")
        return Gathered(missing, refused)

    def is_away(self, site: str) -> bool:
        """Says whether FLARE has found a site disconnected, or its certificate is revoked."""
        return bool(self.communicator.get_client_disconnect_time(site)) or site in self._shut_out()

    def _shut_out(self) -> frozenset[str]:
        return read_shut_out(state_folder(self.fl_ctx))

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Notes which site comes for the open question."""
        super().handle_event(event_type, fl_ctx)
        site = fl_ctx.get_peer_context() if event_type == EventType.BEFORE_TASK_DATA_FILTER else None
        if isinstance(site, FLContext):
            self._open.fetched.append(site.get_identity_name())

    def start_controller(self, fl_ctx: FLContext) -> None:
        """Starts the workflow, which paces the arrays that go out and come in, for the sake of the server's memory."""
        super().start_controller(fl_ctx)
        self._pace = RequestPace(fl_ctx.get_prop(FLContextKey.RUNNER).config)
        self._sites = len(self.engine.get_clients())
        leave_arrays_at_sites(self.engine.get_cell())
        pace_downloads()
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
        self, task_name: str, sites: set[str], good: set[str], refused: dict[str, str], wait: Wait
    ) -> Callable[[str], str]:
        """Waits and returns a function that says why a site has not replied."""
        started = tidied = time.monotonic()
        enough_since: float | None = None
        while True:
            now = time.monotonic()
            if now - tidied > _TIDY_EVERY_S:
                gc.collect()
                tidied = time.monotonic()
            open_sites = sites - good - set(refused) - set(self._open.failed)
            lost = {site for site in open_sites if self.is_away(site)}
            if self.abort_signal.triggered:
                raise JobError(_ABORTED)
            if enough_since is None and len(good) >= wait.enough:
                enough_since = now
            if open_sites == lost or now - started > wait.timeout_s:
                break
            if enough_since is not None and wait.grace_s is not None and now - enough_since > wait.grace_s:
                break
            ends_s = wait.ends_s(None if enough_since is None else enough_since - started)
            self._pace.wait(self._question(task_name, now - started, open_sites - lost, ends_s), good)
            time.sleep(self._task_check_period)
        waited_s = time.monotonic() - started
        self._pace.done(task_name, good, waited_s)
        out = self._shut_out()
        lost_why = {site: REVOKED if site in out else "lost its connection" for site in lost}
        return lambda site: lost_why.get(site, f"no reply within {waited_s:.0f} s")

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
