"""What only the parent process of a server or a site sees: console commands that are refused.

FLARE's own audit has a command only once it is allowed. Its authorisation service is asked about every command that
needs a right, on the server and at a site, and about code in a job; here it is asked through us, and what it denies is
recorded. Nothing is decided here. Whom the server refuses at its door, and what it carries out, the `doorkeeper`
records. A command that does not exist is seen by neither.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.sec.authz import AuthorizationService, Authorizer, AuthzContext

from fedvoxel.errors import LedgerError
from fedvoxel.flare.messages import one_line
from fedvoxel.flare.state_folder import state_folder
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import Actor, AuditEvent
from fedvoxel.records.canonical import canonical_json

_SAME_AGAIN_S = 60.0
"""The same refusal is recorded once in so many seconds, so that nobody can fill the disk by asking."""

_MOST = 100
"""Most different refusals that are recorded in that time, for whoever calls itself by another name each time."""

_TOO_MANY = "more was refused within a minute than is recorded one by one"

_logger = logging.getLogger(__name__)


class AuditKeeper(FLComponent):
    """Records refusals; a component of a server's or a site's own `local/resources.json`."""

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Begins before anybody can ask for anything."""
        if event_type != EventType.SYSTEM_BOOTSTRAP:
            return
        refusals = Refusals(AuditLog(state_folder(fl_ctx)))
        authorizer = AuthorizationService.get_authorizer()
        if authorizer is not None:
            AuthorizationService.the_authorizer = RecordedAuthorizer(authorizer, refusals)


class Refusals:
    """Writes refusals into a log."""

    def __init__(self, log: AuditLog, clock: Callable[[], float] = time.monotonic) -> None:
        """Touches no file; `clock` counts seconds."""
        self._log, self._clock = log, clock
        self._lock = threading.Lock()
        self._told: dict[bytes, float] = {}
        self._unwritten: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        """Records a refusal; one that cannot be written stays a refusal, and is written before the next one."""
        now = self._clock()
        with self._lock:
            self._told = {known: when for known, when in self._told.items() if now - when < _SAME_AGAIN_S}
            if len(self._told) >= _MOST:
                event = AuditEvent(kind=event.kind, outcome="refused", reason=_TOO_MANY)
            said = canonical_json(event.body())
            if said in self._told:
                return
            self._told[said] = now
            events, self._unwritten = [*self._unwritten, event], []
        try:
            while events:
                self._log.record(events[:1])
                del events[0]
        except LedgerError as error:
            _logger.error("event=audit_failed reason=%s", error)
            with self._lock:
                self._unwritten = [*events, *self._unwritten][:_MOST]


class RecordedAuthorizer(Authorizer):
    """Asks another authoriser, and records what it denies."""

    def __init__(self, asked: Authorizer, refusals: Refusals) -> None:
        """Takes the one that decides."""
        super().__init__(asked.site_org, asked.right_categories)
        self._asked, self._refusals = asked, refusals

    def get_policy(self) -> Any:
        """Returns the policy of the one that decides."""
        return self._asked.get_policy()

    def load_policy(self, policy_config: dict[str, Any]) -> Any:
        """Has the one that decides load a policy."""
        return self._asked.load_policy(policy_config)

    def authorize(self, ctx: AuthzContext) -> tuple[bool, str]:
        """Returns what the one that decides says."""
        allowed, reason = self._asked.authorize(ctx)
        if not allowed:
            self._refusals.record(_command(ctx, str(reason or "")))
        return allowed, reason


def _command(ctx: AuthzContext, reason: str) -> AuditEvent:
    name, role, organisation = (
        one_line(str(part or ""))[:200] for part in (ctx.user.name, ctx.user.role, ctx.user.org)
    )
    who = Actor(name=name or "unknown", role=role, organisation=organisation)
    return AuditEvent(
        kind="command", outcome="refused", actor=who, task=one_line(str(ctx.right))[:200], reason=one_line(reason)
    )
