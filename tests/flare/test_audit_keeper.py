"""Refused commands are recorded, and decided by FLARE alone."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.fuel.sec.authz import AuthorizationService, AuthzContext, Person
from nvflare.security.security import FLAuthorizer

from fedvoxel.flare.audit_keeper import AuditKeeper, Refusals
from fedvoxel.governance.local_policy import authorization
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent

LEAD = Person("lead@hospital-a.example", "hospital_a", "lead")
MEMBER = Person("member@hospital-a.example", "hospital_a", "member")


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[None]:
    """A server's parent process after the component's beginning."""
    before, context = AuthorizationService.the_authorizer, FLContext()
    workspace = SimpleNamespace(get_root_dir=lambda: str(tmp_path))
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, workspace, private=True, sticky=False)
    AuthorizationService.the_authorizer = FLAuthorizer("consortium", authorization("server"))
    try:
        AuditKeeper().handle_event(EventType.SYSTEM_START, context)
        assert isinstance(AuthorizationService.the_authorizer, FLAuthorizer), "it begins once, at the bootstrap"
        AuditKeeper().handle_event(EventType.SYSTEM_BOOTSTRAP, context)
        yield
    finally:
        AuthorizationService.the_authorizer = before


def recorded(folder: Path) -> list[AuditEvent]:
    return [event for _, event in AuditLog(folder / "state").read()]


@pytest.mark.usefixtures("parent")
def test_a_denied_command_is_recorded_and_an_allowed_one_is_not(tmp_path: Path) -> None:
    assert AuthorizationService.authorize(AuthzContext("submit_job", LEAD))[0]
    assert recorded(tmp_path) == []
    allowed, _ = AuthorizationService.authorize(AuthzContext("submit_job", MEMBER))
    assert not allowed
    (event,) = recorded(tmp_path)
    assert (event.kind, event.outcome, event.task) == ("command", "refused", "submit_job")
    assert event.actor and (event.actor.name, event.actor.role) == (MEMBER.name, "member")
    assert AuthorizationService.get_authorizer().get_policy() is not None


def test_the_same_refusal_again_is_recorded_once_a_minute(tmp_path: Path) -> None:
    now = [0.0]
    refusals = Refusals(AuditLog(tmp_path / "state"), lambda: now[0])
    event = AuditEvent(kind="registration", outcome="refused", site="stranger")
    for seconds in (0, 1, 59, 61, 62):
        now[0] = seconds
        refusals.record(event)
    assert len(recorded(tmp_path)) == 2


def test_nobody_can_fill_the_log_with_names(tmp_path: Path) -> None:
    refusals = Refusals(AuditLog(tmp_path / "state"), lambda: 0.0)
    for number in range(150):
        refusals.record(AuditEvent(kind="registration", outcome="refused", site=f"stranger-{number}"))
    events = recorded(tmp_path)
    assert len(events) == 101 and "more was refused" in events[-1].reason


def test_a_log_that_cannot_be_written_changes_no_decision(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "state").write_text("in the way")
    Refusals(AuditLog(tmp_path / "state")).record(AuditEvent(kind="registration", outcome="refused"))
    assert "event=audit_failed" in caplog.text


def test_what_could_not_be_written_is_written_with_the_next(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    refusals = Refusals(AuditLog(tmp_path / "state"))
    for number in range(3):
        refusals.record(AuditEvent(kind="registration", outcome="refused", site=f"stranger-{number}"))
    (tmp_path / "state").unlink()
    refusals.record(AuditEvent(kind="registration", outcome="refused", site="stranger-3"))
    assert [event.site for event in recorded(tmp_path)] == [f"stranger-{number}" for number in range(4)]
