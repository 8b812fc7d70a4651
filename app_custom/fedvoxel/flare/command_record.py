"""Has every console command that the server carries out in its audit, but for those that only look.

Refused ones are recorded by the `audit_keeper`, the `submission_check` and the `doorkeeper`. An event is written before
FLARE does anything, as `allowed`: by the server, since a command for sites each of them allows or refuses itself. Where
FLARE then says that it could not do it, a second one says `failed`. A job that is submitted or cloned has its id after
that only, and is written then. The words of a command and of its reply may be anything, a file's name or what was
searched in it, and are left out: an event has the command's name, the job, and the sites that it is for.
"""

from collections.abc import Callable
from typing import Any

from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.proto import InternalCommands, MetaKey, MetaStatusValue, ProtoKey
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.fuel.hci.server.reg import CommandFilter
from nvflare.private.fed.server.cmd_utils import CommandUtil

from fedvoxel.flare.door_checks import SUBMIT
from fedvoxel.flare.messages import one_line
from fedvoxel.records.audit_event import Actor, AuditEvent
from fedvoxel.records.names import PARTICIPANT

LOOKING = frozenset(
    {
        *InternalCommands.commands,
        *("list_jobs", "list_job", "get_job_meta", "check_status", "admin_check_status"),
        *("show_stats", "show_errors", "show_scopes", "list_studies", "show_study"),
        *("sys_info", "report_resources", "report_env", "report_version"),
        *("cells", "route", "peers", "conns", "url_use", "msg_stats", "list_pools", "show_pool", "process_info"),
        *("show_comm_config", "show_config_vars"),
    }
)
"""FLARE's commands that change nothing and give nothing away but how things stand; scripts give them every second.

Any other is recorded, also one that a later FLARE has. So are those that read files or logs (`cat`, `get_job_log`).
"""

_WITH_NEW_JOB = frozenset({SUBMIT, "clone_job"})
_ON_NAMED_SITES = frozenset({"disable_client", "enable_client"})
_STATUSES = frozenset(value for name, value in vars(MetaStatusValue).items() if name.isupper())
_MOST_CHARACTERS = 200


class CommandRecord(CommandFilter):
    """Records commands; stands behind every filter that can refuse one."""

    def __init__(self, write: Callable[[AuditEvent], None]) -> None:
        """Takes what writes an event; see `DoorRecord.commanded`."""
        super().__init__()
        self._write = write

    def pre_command(self, conn: Connection, args: list[str]) -> bool:
        """Records a command that is about to be carried out; it always goes on."""
        name = _name(conn, args)
        if name not in LOOKING | _WITH_NEW_JOB:
            self._write(_event(conn, args, name, _job(conn)))
        return True

    def post_command(self, conn: Connection, args: list[str]) -> bool:
        """Records a new job, and what FLARE could not do."""
        name, status = _name(conn, args), _failure(conn)
        if name in LOOKING:
            return True
        if status and name != SUBMIT:  # Of a job that is not taken the `submission_check` tells.
            failed = {"outcome": "failed", "reason": status}
            self._write(_event(conn, args, name, _job(conn)).model_copy(update=failed))
        elif not status and name in _WITH_NEW_JOB:
            made, source = conn.buffer.meta.get(MetaKey.JOB_ID), _job(conn)
            event = _event(conn, args, name, _short(made))
            self._write(event.model_copy(update={"reason": f"from job {source}"}) if source else event)
        return True


def _name(conn: Connection, args: list[str]) -> str:
    """Returns a command's name without its scope, by which FLARE takes it too."""
    entry = conn.get_prop(ConnProps.CMD_ENTRY)
    return _short(entry.name if entry else args[0].rpartition(".")[2])


def _job(conn: Connection) -> str:
    return _short(conn.get_prop(CommandUtil.JOB_ID))


def _failure(conn: Connection) -> str:
    """Returns the status with which FLARE says that it could not carry out a command; empty where it does not."""
    status = str(conn.buffer.meta.get(MetaKey.STATUS, MetaStatusValue.OK))
    if status == MetaStatusValue.OK:
        wrong = any(part.get(ProtoKey.TYPE) == ProtoKey.ERROR for part in conn.buffer.data)
        return MetaStatusValue.ERROR if wrong else ""
    return status if status in _STATUSES else MetaStatusValue.ERROR


def _event(conn: Connection, args: list[str], name: str, job_id: str) -> AuditEvent:
    said = [_short(conn.get_prop(key)) for key in (ConnProps.USER_NAME, ConnProps.USER_ROLE, ConnProps.USER_ORG)]
    targets = _targets(conn, args, name)
    alone = len(targets) == 1 and targets != [CommandUtil.TARGET_TYPE_SERVER]
    return AuditEvent(
        kind="command",
        outcome="allowed",
        actor=Actor(name=said[0] or "unknown", role=said[1], organisation=said[2]),
        task=name,
        job_id=job_id,
        site=targets[0] if alone else "",
        reason="" if alone or not targets else one_line(f"for {', '.join(targets)}"),
    )


def _targets(conn: Connection, args: list[str], name: str) -> list[str]:
    """Returns whom a command is for, the server and sites: none where FLARE looks for none, or what is no name."""
    kind, found = conn.get_prop(CommandUtil.TARGET_TYPE), list[Any]()
    if kind in (CommandUtil.TARGET_TYPE_SERVER, CommandUtil.TARGET_TYPE_ALL):
        found.append(CommandUtil.TARGET_TYPE_SERVER)
    if kind in (CommandUtil.TARGET_TYPE_CLIENT, CommandUtil.TARGET_TYPE_ALL):
        found += conn.get_prop(CommandUtil.TARGET_CLIENT_NAMES) or []
    if name in _ON_NAMED_SITES:
        found += args[1:]
    found.append(conn.get_prop("target_site"))  # FLARE's own word, of commands that read files
    return [one for one in found if isinstance(one, str) and PARTICIPANT.fullmatch(one)]


def _short(said: object) -> str:
    return one_line(str(said or ""))[:_MOST_CHARACTERS]
