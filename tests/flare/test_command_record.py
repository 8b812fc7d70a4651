"""A command that FLARE carries out is in the audit, before it is; one that only looks, or is refused, is not."""

import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from nvflare.fuel.f3.cellnet.net_manager import NetManager
from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.proto import MetaStatusValue, make_meta
from nvflare.fuel.hci.reg import CommandModule, CommandModuleSpec, CommandSpec
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.fuel.hci.server.reg import CommandFilter, ServerCommandRegister
from nvflare.fuel.utils.class_loader import load_class
from nvflare.private.fed.server.cmd_utils import CommandUtil

from fedvoxel.errors import DiskFullError, LedgerError
from fedvoxel.flare.command_record import LOOKING, CommandRecord
from fedvoxel.flare.door_record import MOST_COMMANDS, DoorRecord
from fedvoxel.records.audit_event import Actor, AuditEvent

JOB = "4f0c2f3e-9d57-4a3c-8f0e-6f0d6f1f3a11"
LEAD = {ConnProps.USER_NAME: "lead@x.example", ConnProps.USER_ROLE: "lead", ConnProps.USER_ORG: "x"}
MODULES = {
    "job_cmds.JobCommandModule",
    "training_cmds.TrainingCommandModule",
    "info_coll_cmd.InfoCollectorCommandModule",
    "study_cmds.StudyCommandModule",
    "shell_cmd.ShellCommandModule",
    "sys_cmd.SystemCommandModule",
}
CHANGING = {
    *("submit_job", "clone_job", "abort_job", "delete_job", "delete_workspace", "download_job"),
    *("download_job_components", "app_command", "configure_job_log", "get_job_log"),
    *("shutdown", "restart", "remove_client", "disable_client", "enable_client", "reset_errors"),
    *("configure_site_log", "dead", "pwd", "ls", "cat", "head", "tail", "grep"),
    *("speed", "stress", "bulk", "change_root", "stop_cell", "stop_net"),
    *("register_study", "add_study_site", "remove_study_site", "remove_study", "add_study_user", "remove_study_user"),
}


class _Carried:
    """Runs a command as FLARE does, in a register of its own; the handler answers what it is told to."""

    def __init__(self, refuses: bool = False, answer: Any = None) -> None:
        self.events: list[AuditEvent] = []
        self.known_when_carried_out = -1
        self._refuses, self._answer = refuses, answer

    def __call__(self, command: str, **known: Any) -> list[AuditEvent]:
        conn = Connection(props={**LEAD, **known})
        register = ServerCommandRegister(app_ctx=None)
        register.filters = [_Refusing()] if self._refuses else []
        register.filters.append(CommandRecord(self.events.append))
        register.register_module(_Module(command.split()[0].rpartition(".")[2], self._carry_out))
        register.finalize()
        register.process_command(conn, command)
        return self.events

    def _carry_out(self, conn: Connection, args: list[str]) -> None:
        self.known_when_carried_out = len(self.events)
        if self._answer is not None:
            self._answer(conn)


class _Refusing(CommandFilter):
    def pre_command(self, conn: Connection, args: list[str]) -> bool:
        return False


class _Module(CommandModule):
    def __init__(self, name: str, handler: Any) -> None:
        self._name, self._handler = name, handler

    def get_spec(self) -> CommandModuleSpec:
        return CommandModuleSpec("job_mgmt", [CommandSpec(self._name, "", "", self._handler)])


def _said(event: AuditEvent) -> tuple[str, ...]:
    assert event.kind == "command" and event.actor == Actor(name="lead@x.example", role="lead", organisation="x")
    return event.outcome, event.task, event.job_id, event.site, event.reason


@pytest.mark.parametrize("command", [f"delete_job {JOB}", f"job_mgmt.delete_job {JOB}"])
def test_a_command_is_written_once_and_before_it_is_carried_out(command: str) -> None:
    carried = _Carried()
    (event,) = carried(command, **{CommandUtil.JOB_ID: JOB})
    assert _said(event) == ("allowed", "delete_job", JOB, "", "") and carried.known_when_carried_out == 1


def test_what_a_filter_refuses_is_not_written_as_allowed() -> None:
    carried = _Carried(refuses=True)
    assert carried(f"delete_job {JOB}") == [] and carried.known_when_carried_out == -1


@pytest.mark.parametrize("command", sorted(LOOKING))
def test_whoever_only_looks_leaves_no_line(command: str) -> None:
    assert _Carried()(command) == []
    assert _Carried(answer=lambda conn: conn.append_error("not now"))(command) == []


def test_a_command_that_nobody_has_heard_of_is_written() -> None:
    assert [_said(event)[:2] for event in _Carried()("sell_everything")] == [("allowed", "sell_everything")]


def test_every_command_of_flares_server_looks_or_is_written() -> None:
    """A new FLARE's new command is written until somebody has looked at it: this test tells of it."""
    net = NetManager.__new__(NetManager)
    net.diagnose = False
    known = {spec.name for spec in net.get_spec().cmd_specs}
    for module in MODULES:
        made = load_class(f"nvflare.private.fed.server.{module}")
        known |= {spec.name for spec in made.__new__(made).get_spec().cmd_specs}
    assert known - LOOKING == CHANGING
    assert not LOOKING & CHANGING


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda conn: conn.append_error("case-7 of Meier", meta=make_meta(MetaStatusValue.JOB_RUNNING)), "job_running"),
        (lambda conn: conn.append_error("case-7 of Meier", meta=make_meta("Meier")), "error"),
        (lambda conn: conn.update_meta(make_meta(MetaStatusValue.ERROR, "Meier")), "error"),
        (lambda conn: conn.append_error("Meier", meta={"job_id": JOB}), "error"),
    ],
)
def test_what_flare_could_not_do_is_said_without_its_words(answer: Any, status: str) -> None:
    allowed, failed = _Carried(answer=answer)(f"delete_job {JOB}", **{CommandUtil.JOB_ID: JOB})
    assert _said(allowed)[0] == "allowed"
    assert _said(failed) == ("failed", "delete_job", JOB, "", status)


def _made(conn: Connection) -> None:
    conn.append_success("", meta=make_meta(MetaStatusValue.OK, extra={"job_id": JOB}))


def test_a_new_job_is_written_with_its_id() -> None:
    (submitted,) = _Carried(answer=_made)("submit_job job")
    assert _said(submitted) == ("allowed", "submit_job", JOB, "", "")
    source = str(uuid.uuid4())
    (cloned,) = _Carried(answer=_made)(f"clone_job {source}", **{CommandUtil.JOB_ID: source})
    assert _said(cloned) == ("allowed", "clone_job", JOB, "", f"from job {source}")


def test_a_job_that_was_not_taken_is_told_of_by_the_submission_check_alone() -> None:
    carried = _Carried(answer=lambda conn: conn.append_error("no", meta=make_meta(MetaStatusValue.ERROR)))
    assert carried("submit_job job") == []
    (failed,) = carried("clone_job it", **{CommandUtil.JOB_ID: JOB})
    assert _said(failed) == ("failed", "clone_job", JOB, "", "error")


@pytest.mark.parametrize(
    ("command", "known", "site", "reason"),
    [
        (
            "remove_client hospital-a",
            {"target_type": "client", "target_client_names": ["hospital-a"]},
            "hospital-a",
            "",
        ),
        ("shutdown server", {"target_type": "server"}, "", "for server"),
        ("restart all", {"target_type": "all", "target_client_names": ["a", "b"]}, "", "for server, a, b"),
        ("disable_client hospital-a", {}, "hospital-a", ""),
        ("enable_client a b", {}, "", "for a, b"),
        ("disable_client 'Meier, born 1950'", {}, "", ""),
        ("cat hospital-a local/Meier.txt", {"target_site": "hospital-a"}, "hospital-a", ""),
        ("grep server Meier log.txt", {"target_site": "server"}, "", "for server"),
    ],
)
def test_a_command_is_written_with_whom_it_is_for_and_without_its_other_words(
    command: str, known: dict[str, Any], site: str, reason: str
) -> None:
    (event,) = _Carried()(command, **known)
    assert _said(event) == ("allowed", command.split()[0], "", site, reason)
    assert "Meier" not in event.model_dump_json()


class _Audit:
    def __init__(self, error: Exception | None = None) -> None:
        self.events: list[AuditEvent] = []
        self.error = error

    def record(self, events: Sequence[AuditEvent]) -> None:
        if self.error:
            raise self.error
        self.events += events


def _command(number: int) -> AuditEvent:
    return AuditEvent(kind="command", outcome="allowed", task=f"command_{number}")


@pytest.mark.parametrize("error", [DiskFullError("no room"), LedgerError("locked"), OSError("no")])
def test_what_cannot_be_written_is_carried_out_and_written_once_it_can(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    audit = _Audit(error)
    record = DoorRecord(audit.record)
    for number in range(3):
        record.commanded(_command(number))
    assert audit.events == [] and "event=commands_not_recorded count=3" in caplog.text
    audit.error = None
    record.write()
    record.write()
    assert audit.events == [_command(number) for number in range(3)]


def test_commands_do_not_fill_the_memory_of_a_server_with_a_full_disk() -> None:
    audit = _Audit(DiskFullError("no room"))
    record = DoorRecord(audit.record)
    for number in range(MOST_COMMANDS + 7):
        record.commanded(_command(number))
    audit.error = None
    record.commanded(_command(-1))
    assert len(audit.events) == MOST_COMMANDS + 1
    assert audit.events[-1].reason == "8 more, while the audit could not be written"


def test_the_same_command_again_is_another_line() -> None:
    audit = _Audit()
    record = DoorRecord(audit.record)
    for _ in range(3):
        record.commanded(_command(1))
    record.write()
    assert audit.events == [_command(1)] * 3
