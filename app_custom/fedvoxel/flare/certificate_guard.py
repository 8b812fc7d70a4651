"""The server's guard: a revoked certificate is out within seconds, on live connections and in the middle of a job.

Runs in the server's parent process, through which all messages pass, those to a job's process too. Every two seconds it
looks at the revocation list in the kit. What the list names is refused in TLS handshakes, at registration and at login;
connections that were made with it are closed, its site is given up (the job goes on without it, and its outcome says
why), its person is logged out, and messages in its name are dropped. If the list cannot be relied on, nobody new is let
in until it can; a full disk holds nothing of that up. What happened is in the server's log and in `state/audit/`.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from cryptography import x509
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.fuel.f3.cellnet.core_cell import make_reply
from nvflare.fuel.f3.cellnet.defs import MessageHeaderKey, ReturnCode
from nvflare.fuel.f3.message import Message
from nvflare.fuel.hci.server.sess import Session
from nvflare.private.defs import CellChannel, CellChannelTopic, CellMessageHeaderKeys

from fedvoxel.errors import FedVoxelError
from fedvoxel.flare.certificate_messages import CHANNEL, TOPIC, CertificateDesk
from fedvoxel.flare.guarded_verifier import GuardedVerifier
from fedvoxel.flare.server_line import ServerLine
from fedvoxel.flare.state_folder import startup_folder, state_folder
from fedvoxel.governance.certificates import log_alarms
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.shut_out import REVOKED, Arrivals
from fedvoxel.governance.watched_list import WatchedList
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import Actor, AuditEvent
from fedvoxel.records.revocation import serial_text

_logger = logging.getLogger(__name__)

_JOINING = (CellChannelTopic.Register, CellChannelTopic.Challenge)
_ALARM_EVERY_S = 600.0
ALARM_EVERY_S = 24 * 3600.0


class CertificateGuard(FLComponent):
    """Keeps revoked certificates out of a FLARE server."""

    def __init__(self, interval_s: float = 2.0) -> None:
        """Takes how often to look at the revocation list, in seconds (0.1 to 15)."""
        super().__init__()
        if not 0.1 <= interval_s <= 15:
            raise ValueError(f"interval_s: expected 0.1 to 15 seconds, got {interval_s!r}")
        self.interval_s = interval_s

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Begins before anybody can register; a server whose guard cannot begin does not start."""
        if event_type != EventType.SYSTEM_BOOTSTRAP:
            return
        try:
            self._begin(fl_ctx)
        except Exception as error:
            _logger.critical("event=certificate_guard_failed reason=%s", error)
            raise UnsafeComponentError(f"the certificate guard cannot begin: {error}") from error

    def _begin(self, fl_ctx: FLContext) -> None:
        services = fl_ctx.get_prop(FLContextKey.SITE_OBJ)
        startup, state = startup_folder(fl_ctx), state_folder(fl_ctx)
        guard = _Guard(services, WatchedList(startup, state), Arrivals(state), AuditLog(state), startup)
        guard.look()
        services.cell.register_request_cb(channel=CHANNEL, topic=TOPIC, cb=CertificateDesk(startup).answer)
        services.client_manager.cred_keeper.id_verifier = guard.verifier
        services.cell.core_cell.add_incoming_filter(channel="*", topic="*", cb=guard.filter)
        threading.Thread(target=guard.watch, args=(self.interval_s,), name="certificate_guard", daemon=True).start()


class _Guard:
    """Is the guard at work."""

    def __init__(self, services: Any, watched: WatchedList, arrivals: Arrivals, audit: AuditLog, startup: Any) -> None:
        self._services, self._watched, self._arrivals, self._audit = services, watched, arrivals, audit
        self._line, self._startup = ServerLine(services), startup
        self.verifier = GuardedVerifier(watched, self._came, self._refused)
        self._sessions: Any = None
        self._told: set[tuple[str, int, str]] = set()
        self._alarmed: tuple[str | None, float] = (None, 0.0)
        self._said_unwritten = -_ALARM_EVERY_S
        self._shown: dict[int, tuple[int, int]] = {}
        self._certificate_of, self._checked = 0, -ALARM_EVERY_S

    def watch(self, interval_s: float) -> None:
        """Looks for as long as the process lives; more often until everything that listens goes by the list."""
        while not self._services.shutdown:
            admin = self._services.admin_server
            if admin is not None and admin.cred_keeper is not None:
                admin.cred_keeper.id_verifier = self.verifier
            time.sleep(interval_s if admin is not None else min(0.1, interval_s))
            try:
                self.look()
                self._warn()
            except Exception:
                _logger.exception("event=certificate_guard_trouble")

    def look(self) -> None:
        """Reads the list, and puts it in force everywhere before anything is said or written about it."""
        self._watched.look()
        try:
            self._arm()
        except (OSError, ValueError) as error:  # an SSLError is an OSError
            # Handshakes go on as before; what is revoked is still cut, and refused at registration.
            _logger.critical("event=certificates_not_shown reason=%s", error)
        newly_out = self._arrivals.judge(self._watched.revoked)
        cut = self._line.cut(self._watched.revoked)
        self._end_sessions()
        if newly_out or cut:
            _logger.warning("event=shut_out names=%s connections=%d", ",".join(sorted(newly_out)), cut)
        self._alarm(self._watched.trouble)
        self._alarm_unwritten()
        self._record([(name, REVOKED) for name in sorted(newly_out)])

    def _arm(self) -> None:
        """Has everything that listens go by the newest list, and show the newest certificate of the server's."""
        certificate, key = (self._startup / name for name in ("server.crt", "server.key"))
        state = (self._watched.version, certificate.stat().st_mtime_ns)
        for context in self._line.listeners():
            if self._shown.get(id(context)) != state:
                self._line.require_list(context, self._watched.in_force, self._startup / "rootCA.pem")
                context.load_cert_chain(certificate, key)
                self._shown[id(context)] = state
        if self._certificate_of != state[1]:
            for keeper in self._keepers():
                keeper.id_asserter = None  # FLARE reads the certificate anew when it is asked for it
            self._certificate_of = state[1]

    def _warn(self) -> None:
        """Says once a day what of the server's certificates ends soon."""
        if time.monotonic() - self._checked >= ALARM_EVERY_S:
            self._checked = time.monotonic()
            log_alarms(open_kit(self._startup.parent))

    def _keepers(self) -> list[Any]:
        admin = self._services.admin_server
        return [self._services.cred_keeper, *([admin.cred_keeper] if admin and admin.cred_keeper else [])]

    def filter(self, message: Message) -> Message | None:
        """Drops a message in the name of somebody who is shut out, whomever it is for."""
        name = message.get_header(CellMessageHeaderKeys.CLIENT_NAME)
        if name not in self._arrivals.shut_out or self._joins(message):
            return None
        return make_reply(ReturnCode.UNAUTHENTICATED, error=REVOKED)

    @staticmethod
    def _joins(message: Message) -> bool:
        """Says whether somebody shows a certificate, which may be a new one: the verifier decides about that."""
        channel, topic = (message.get_header(key) for key in (MessageHeaderKey.CHANNEL, MessageHeaderKey.TOPIC))
        return channel == CellChannel.SERVER_MAIN and topic in _JOINING

    def _end_sessions(self) -> None:
        out = self._arrivals.shut_out
        for token, client in list(self._services.client_manager.get_clients().items()):
            if client.name in out:
                self._services.logout_client(token)
        manager: Any = getattr(self._services.admin_server, "sess_mgr", None)
        if manager and manager is not self._sessions:
            manager.recreate_session = _checked(manager.recreate_session, lambda: self._arrivals.shut_out)
            self._sessions = manager
        for session in manager.get_sessions() if manager and out else ():
            if session.user_name in out:
                manager.end_session_by_id(session.sess_id, f"You are logged out: {REVOKED}.")

    def _came(self, name: str, certificate: x509.Certificate) -> None:
        self._arrivals.came(name, certificate.serial_number, self._watched.revoked)

    def _refused(self, name: str, certificate: x509.Certificate) -> None:
        reason = self._watched.trouble or REVOKED
        told = (name, certificate.serial_number, reason)
        if told not in self._told:
            self._told.add(told)
            serial = serial_text(certificate.serial_number)
            _logger.warning("event=certificate_refused name=%s serial=%s reason=%s", name, serial, reason)
            self._record([(name, f"not let in: {reason}")])

    def _alarm(self, trouble: str | None) -> None:
        """Says that the list cannot be relied on, at once and then every ten minutes, and when it can be again."""
        before, when = self._alarmed
        if trouble == before and (trouble is None or time.monotonic() - when < _ALARM_EVERY_S):
            return
        self._alarmed = (trouble, time.monotonic())
        if trouble:
            _logger.critical("event=revocation_list_refused nobody new is let in: %s", trouble)
        elif before:
            _logger.warning("event=revocation_list_good_again")
        if trouble != before:
            self._record([("", f"nobody new is let in: {trouble}")] if trouble else [])

    def _alarm_unwritten(self) -> None:
        """Says every ten minutes what the disk does not take."""
        unwritten = self._watched.unkept or self._arrivals.unwritten
        if unwritten and time.monotonic() - self._said_unwritten >= _ALARM_EVERY_S:
            self._said_unwritten = time.monotonic()
            _logger.critical("event=revocation_unwritten in force all the same; make room for %s", unwritten)

    def _record(self, said: list[tuple[str, str]]) -> None:
        events = [_event(name, reason) for name, reason in said]
        try:
            self._audit.record(events)
        except FedVoxelError as error:
            _logger.error("event=audit_failed reason=%s", error)


def _checked(recreate: Callable[..., Any], shut_out: Callable[[], frozenset[str]]) -> Callable[..., Any]:
    """Returns `SessionManager.recreate_session` that makes no session of somebody who is shut out.

    FLARE makes one of any token that it has signed, also of a session that was ended; where the connection cannot be
    cut, as with gRPC, a person would go on with the next command.
    """

    @wraps(recreate)
    def checked(token: str, origin_fqcn: str, id_asserter: Any) -> Any:
        session = Session.decode_token(token, id_asserter)
        if session is not None and session.user_name in shut_out():
            raise ValueError(REVOKED)
        return recreate(token, origin_fqcn, id_asserter)

    return checked


def _event(name: str, reason: str) -> AuditEvent:
    """Returns the refusal of a site or a person, or of everybody new where no name is given."""
    if "@" in name:
        actor = Actor(name=name, role="person")
        return AuditEvent(kind="registration", outcome="refused", actor=actor, reason=reason)
    return AuditEvent(kind="registration", outcome="refused", site=name, reason=reason)
