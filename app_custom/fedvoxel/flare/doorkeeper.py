"""Stands at the server's door: refuses what FLARE lets in, and has refusals and commands in the server's audit.

A component of the server's own process (`local/resources.json`), put in place when FLARE fires its bootstrap event,
before the first job is scheduled.
"""

import logging
import re
from collections.abc import Callable
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.fuel.hci.server.reg import CommandFilter
from nvflare.lighter.utils import load_crt
from nvflare.private.fed.utils.identity_utils import get_cn_from_cert

from fedvoxel.flare.command_record import CommandRecord
from fedvoxel.flare.door_checks import PersonCheck, Senders, guarded_registration, once_configured
from fedvoxel.flare.door_record import DoorRecord
from fedvoxel.flare.handshakes import watch_handshakes
from fedvoxel.flare.hidden_tokens import HiddenTokens
from fedvoxel.flare.state_folder import startup_folder, state_folder
from fedvoxel.flare.submission_check import SubmissionCheck, without_leftovers
from fedvoxel.records.audit import AuditLog

_TELLING = {
    "nvflare.private.fed.server.fed_server.FederatedServer": (
        "message",
        re.compile(r"unauthenticated msg .* received from (?P<who>\S+): (?P<why>[^:]+)"),
    ),
    "nvflare.fuel.f3.sfm.conn_manager": (
        "connect",
        re.compile(r"authenticated as '(?P<who>[^']*)' but (?P<why>claimed endpoint '[^']*')"),
    ),
    "nvflare.fuel.hci.server.login.LoginModule": (
        "log_in",
        re.compile(r"verify_common_name got exception: ?(?P<why>.*)(?P<who>)"),
    ),
}
"""FLARE's loggers that alone say of a refusal, with what had been asked for and what such a line looks like."""


class Doorkeeper(FLComponent):
    """Is the component; it takes no arguments, so that nobody can tell it to look away."""

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Goes to its post when the server starts; FLARE ends a server whose doorkeeper cannot."""
        if event_type != EventType.SYSTEM_BOOTSTRAP:
            return
        try:
            self._stand(fl_ctx)
        except Exception as error:
            raise UnsafeComponentError(f"the doorkeeper cannot do its work: {type(error).__name__}: {error}") from error

    def _stand(self, fl_ctx: FLContext) -> None:
        record = DoorRecord(AuditLog(state_folder(fl_ctx)).record)
        record.start()
        watch_handshakes(lambda where, why: record.refused("connect", where, why))
        for name, (task, saying) in _TELLING.items():
            logging.getLogger(name).addHandler(_Overheard(record, task, saying))
        server: Any = fl_ctx.get_prop(FLContextKey.SITE_OBJ)
        startup = startup_folder(fl_ctx)
        own_name = str(get_cn_from_cert(load_crt(str(startup / "server.crt"))))
        server._ready_for_registration = once_configured(server._ready_for_registration)
        manager = server.client_manager
        manager.authenticated_client = guarded_registration(manager.authenticated_client, own_name, record.refused)
        senders = Senders(record.refused)
        server.cell.core_cell.add_incoming_filter("*", "*", senders.dropped)
        checks = (
            PersonCheck(senders, record.refused),
            SubmissionCheck(startup / "rootCA.pem", record.refused),
            HiddenTokens(lambda: list(manager.clients)),
            CommandRecord(record.commanded),
        )
        server.set_admin_server = _with_checks(server.set_admin_server, *checks)


def _with_checks(
    take: Callable[[Any], None], person: CommandFilter, *after_rights: CommandFilter
) -> Callable[[Any], None]:
    """Returns what hands the console's side of the server to FLARE, which makes it after its bootstrap event."""

    def taken(admin_server: Any) -> None:
        commands = admin_server.cmd_reg
        # After FLARE has found out whose session a command belongs to, before it looks at their rights.
        commands.filters.insert(1, person)
        commands.filters.extend(after_rights)
        commands.process_command = without_leftovers(commands.process_command)
        take(admin_server)

    return taken


class _Overheard(logging.Handler):
    """Notes what FLARE says of a refusal in a log line only."""

    def __init__(self, record: DoorRecord, task: str, saying: re.Pattern[str]) -> None:
        super().__init__(logging.WARNING)
        self._record, self._task, self._saying = record, task, saying

    def emit(self, record: logging.LogRecord) -> None:
        found = self._saying.search(record.getMessage())
        if found:
            self._record.refused(self._task, found["who"] or "unknown", found["why"])
