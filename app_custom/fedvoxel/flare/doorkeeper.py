"""Stands at the server's door: refuses what FLARE lets in, and has every refusal in the server's audit.

A component of the server's own process (`local/resources.json`), put in place when FLARE fires its bootstrap event,
before the first job is scheduled.
"""

import logging
from typing import Any

from nvflare.apis.event_type import EventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.sec.authz import AuthorizationService
from nvflare.lighter.utils import load_crt
from nvflare.private.fed.utils.identity_utils import get_cn_from_cert

from fedvoxel.flare.door_checks import PersonCheck, guarded_registration, sender_check, told_authorizer
from fedvoxel.flare.door_record import DoorRecord
from fedvoxel.flare.handshakes import watch_handshakes
from fedvoxel.flare.state_folder import startup_folder, state_folder
from fedvoxel.records.audit import AuditLog

_TELLING = {
    "nvflare.private.fed.server.fed_server.FederatedServer": ("unauthenticated msg", "message"),
    "nvflare.fuel.f3.sfm.conn_manager": ("authenticated as", "connect"),
    "nvflare.fuel.hci.server.login.LoginModule": ("verify_common_name got exception", "log_in"),
}
"""FLARE's loggers that alone say of a refusal, what such a line has in it, and what had been asked for."""


class Doorkeeper(FLComponent):
    """Is the component; it takes no arguments, so that nobody can tell it to look away."""

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Goes to its post when the server starts."""
        if event_type != EventType.SYSTEM_BOOTSTRAP:
            return
        record = DoorRecord(AuditLog(state_folder(fl_ctx)).record)
        record.start()
        watch_handshakes(lambda where, why: record.refused("connect", where, why))
        for name, (saying, task) in _TELLING.items():
            logging.getLogger(name).addHandler(_Overheard(record, saying, task))
        server: Any = fl_ctx.get_prop(FLContextKey.SITE_OBJ)
        own_name = str(get_cn_from_cert(load_crt(str(startup_folder(fl_ctx) / "server.crt"))))
        manager, commands = server.client_manager, server.admin_server.cmd_reg
        manager.authenticated_client = guarded_registration(manager.authenticated_client, own_name, record.refused)
        server.cell.core_cell.add_incoming_filter("*", "*", sender_check(record.refused))
        # After FLARE has found out whose session a command belongs to, before it looks at their rights.
        commands.filters.insert(1, PersonCheck(record.refused))
        told_authorizer(AuthorizationService.get_authorizer(), record.refused)


class _Overheard(logging.Handler):
    """Notes what FLARE says of a refusal in a log line only."""

    def __init__(self, record: DoorRecord, saying: str, task: str) -> None:
        super().__init__(logging.WARNING)
        self._record, self._saying, self._task = record, saying, task

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        if self._saying in said:
            self._record.refused(self._task, "unknown", said)
