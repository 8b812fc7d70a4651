"""What the doorkeeper refuses, and that a stranger cannot fill the disk with it; over real TLS in test_strangers."""

import ssl
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeComponentError
from nvflare.fuel.f3.cellnet.defs import IdentityChallengeKey, MessageHeaderKey, MessagePropKey
from nvflare.fuel.f3.message import Message
from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.proto import InternalCommands
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.lighter.utils import Identity, generate_cert, generate_keys, serialize_cert
from nvflare.private.defs import CellMessageHeaderKeys, ClientType

from fedvoxel.errors import LedgerError
from fedvoxel.flare.door_checks import PersonCheck, Senders, foreign_sender, guarded_registration, once_configured
from fedvoxel.flare.door_record import MOST_CALLERS, DoorRecord
from fedvoxel.flare.doorkeeper import Doorkeeper
from fedvoxel.flare.handshakes import reason_of
from fedvoxel.records.audit_event import Actor, AuditEvent
from tests.fuzz.der import pem

ADMIN = "_admin_9b2b1a52-8f6e-4c5b-9d0a-2f9f6a4f1f10"
Refusals = list[tuple[str, str, str]]


class _Audit:
    def __init__(self, broken: bool = False) -> None:
        self.events: list[AuditEvent] = []
        self.broken = broken

    def record(self, events: Sequence[AuditEvent]) -> None:
        if self.broken:
            raise LedgerError("the disk is full")
        self.events += events


def _who(event: AuditEvent) -> str:
    assert event.actor
    return event.actor.name


def test_a_refusal_is_written_at_once_and_its_repetitions_as_a_number() -> None:
    audit = _Audit()
    record = DoorRecord(audit.record, repeated_s=0)
    record.refused("connect", "10.0.0.1", "no certificate")
    record.write()
    for _ in range(1000):
        record.refused("connect", "10.0.0.1", "no certificate")
    record.write()
    assert [event.reason for event in audit.events] == ["no certificate", "no certificate (1000 times)"]
    assert audit.events[0] == AuditEvent(
        kind="connection",
        outcome="refused",
        actor=Actor(name="10.0.0.1", role=""),
        task="connect",
        reason="no certificate",
    )


def test_a_repetition_waits() -> None:
    audit = _Audit()
    record = DoorRecord(audit.record)
    for _ in range(3):
        record.refused("connect", "10.0.0.1", "no certificate")
        record.write()
    assert len(audit.events) == 1


def test_many_callers_are_counted_and_not_named() -> None:
    audit = _Audit()
    record = DoorRecord(audit.record)
    for number in range(10 * MOST_CALLERS):
        record.refused("connect", f"10.0.{number // 256}.{number % 256}", "no certificate")
    record.write()
    assert len(audit.events) == MOST_CALLERS + 1
    assert _who(audit.events[-1]) == "others" and f"({9 * MOST_CALLERS} times)" in audit.events[-1].reason


def test_a_name_cannot_write_lines_of_its_own() -> None:
    audit = _Audit()
    record = DoorRecord(audit.record)
    record.refused("register", 'a\n{"kind": "b"}\u202e', "x" * 10_000)
    record.write()
    assert _who(audit.events[0]) == 'a?{"kind": "b"}?' and len(audit.events[0].reason) == 200


def test_an_audit_that_cannot_be_written_is_said_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    record = DoorRecord(_Audit(broken=True).record)
    record.refused("connect", "10.0.0.1", "no certificate")
    record.write()
    assert "event=refusals_not_recorded count=1" in caplog.text


def test_what_could_not_be_written_is_written_once_it_can() -> None:
    audit = _Audit(broken=True)
    record = DoorRecord(audit.record, repeated_s=0)
    for _ in range(3):
        record.refused("connect", "10.0.0.1", "no certificate")
        record.write()
    audit.broken = False
    record.write()
    record.write()
    assert [event.reason for event in audit.events] == ["no certificate (3 times)"]


def test_an_audit_that_cannot_be_written_is_not_tried_at_once_again() -> None:
    audit = _Audit(broken=True)
    record = DoorRecord(audit.record)
    record.refused("connect", "10.0.0.1", "no certificate")
    record.write()
    audit.broken = False
    record.write()
    assert audit.events == []


def _message(proven: str | None, origin: str, named: str | None = None, endpoint: str = "") -> Message:
    message = Message({MessageHeaderKey.ORIGIN: origin}, None)
    if named:
        message.set_header(CellMessageHeaderKeys.CLIENT_NAME, named)
    if proven:
        message.set_prop(MessagePropKey.COMMON_NAME, proven)
    message.set_prop(MessagePropKey.ENDPOINT, SimpleNamespace(name=endpoint or origin))
    return message


@pytest.mark.parametrize(
    "message",
    [
        _message("hospital-a", "hospital-a", "hospital-a"),
        _message("hospital-a", "hospital-a.a1b2", "hospital-a"),
        _message("relay-1", "relay-1.hospital-a.a1b2", "hospital-a"),
        _message("lead@x.example", ADMIN, "lead@x.example"),
        _message("hospital-a", "hospital-a"),
        _message(None, "server.a1b2", "server"),
    ],
)
def test_a_message_in_ones_own_name_is_taken(message: Message) -> None:
    assert foreign_sender(message) is None


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (_message("hospital-b", "hospital-a", "hospital-a"), "in the name of hospital-a"),
        (_message("hospital-b", "hospital-b", "hospital-a"), "the name of hospital-a"),
        (_message("hospital-b", "server", "server"), "in the name of server"),
        (_message("lead@x.example", ADMIN, "hospital-a"), "the name of hospital-a"),
        (_message("lead@x.example", ADMIN, "lead@x.example", endpoint=ADMIN[:-1] + "1"), "another person's"),
    ],
)
def test_a_message_in_anothers_name_is_not(message: Message, why: str) -> None:
    assert why in (foreign_sender(message) or "")


def _certificate(name: str, role: str | None = None) -> bytes:
    key, public = generate_keys()
    made: bytes = serialize_cert(generate_cert(Identity(name, "org", role), Identity("root"), key, public))
    return made


@pytest.mark.parametrize(
    ("role", "kind", "why"),
    [
        ("lead", ClientType.REGULAR, "a person's certificate (lead)"),
        ("auditor", ClientType.REGULAR, "certificate (auditor) is none of a site"),
        ("member", ClientType.RELAY, "a person's certificate (member)"),
        (None, ClientType.ADMIN, "no person's certificate"),
        ("client", ClientType.ADMIN, "no person's certificate"),
        (None, ClientType.REGULAR, None),
        ("client", ClientType.REGULAR, None),
        ("org_admin", ClientType.ADMIN, None),
    ],
)
def test_who_may_register_as_what(role: str | None, kind: str, why: str | None) -> None:
    refusals, asked = [], []

    def register(request: Message, fl_ctx: Any, client_type: str) -> str:
        asked.append(client_type)
        return "client"

    guarded = guarded_registration(register, "the-server", lambda *said: refusals.append(said))
    request = Message({CellMessageHeaderKeys.CLIENT_NAME: "x"}, {IdentityChallengeKey.CERT: _certificate("x", role)})
    assert guarded(request, None, kind) == ("client" if why is None else None)
    assert bool(asked) == (why is None)
    assert [why in said[2] for said in refusals] == ([] if why is None else [True])


def test_what_flare_says_of_its_own_refusal_is_told() -> None:
    refusals: Refusals = []
    guarded = guarded_registration(lambda *_: None, "the-server", lambda *said: refusals.append(said))
    request = Message({CellMessageHeaderKeys.CLIENT_NAME: "x"}, {IdentityChallengeKey.CERT: _certificate("x")})
    context = FLContext()
    assert guarded(request, context, ClientType.REGULAR) is None
    context.set_prop(FLContextKey.UNAUTHENTICATED, "Client 'x' is disabled", sticky=False)
    assert guarded(request, context, ClientType.REGULAR) is None
    assert ["do not prove it" in refusals[0][2], "is disabled" in refusals[1][2]] == [True, True]


def test_nobody_registers_before_the_server_is_configured() -> None:
    ready, context = once_configured(lambda fl_ctx: None), FLContext()
    assert ready(context) == "the server is still starting"
    context.set_prop(FLContextKey.SERVER_CONFIG, [{}], private=True, sticky=True)
    assert ready(context) is None
    assert once_configured(lambda fl_ctx: "not now")(context) == "not now"


def test_the_server_is_no_site() -> None:
    refusals: Refusals = []
    guarded = guarded_registration(lambda *_: "client", "the-server", lambda *said: refusals.append(said))
    headers = {CellMessageHeaderKeys.CLIENT_NAME: "the-server"}
    request = Message(headers, {IdentityChallengeKey.CERT: _certificate("the-server")})
    assert guarded(request, None, ClientType.REGULAR) is None
    assert "the server's certificate" in refusals[0][2]


def _of_no_subject() -> bytes:
    """A certificate whose holder's name is no text."""
    der = x509.load_pem_x509_certificate(_certificate("site")).public_bytes(Encoding.DER)
    return pem("CERTIFICATE", der.replace(b"\x0c\x04site", b"\x0c\x04\xff\xfete"))


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        7,
        "text",
        {IdentityChallengeKey.CERT: b"no certificate"},
        {IdentityChallengeKey.CERT: _of_no_subject()},
    ],
)
def test_a_registration_without_a_certificate_is_refused(payload: Any) -> None:
    refusals: Refusals = []
    guarded = guarded_registration(lambda *_: "client", "the-server", lambda *said: refusals.append(said))
    assert guarded(Message({}, payload), None, ClientType.REGULAR) is None
    assert "no certificate that can be read" in refusals[0][2]


def _connection(user: str | None, proven: str, certificate: bytes = b"") -> Connection:
    conn = Connection()
    conn.set_prop(ConnProps.REQUEST, Message({MessageHeaderKey.ORIGIN: ADMIN, "proven": proven}, None))
    conn.set_prop(ConnProps.CMD_HEADERS, {"cert": certificate})
    if user:
        conn.set_prop(ConnProps.USER_NAME, user)
    return conn


@pytest.mark.parametrize(
    ("conn", "words", "passes"),
    [
        (_connection("lead@x", "lead@x"), ["list_jobs"], True),
        (_connection("lead@x", "member@x"), ["list_jobs"], False),
        (_connection(None, "lead@x", _certificate("lead@x", "lead")), [InternalCommands.CERT_LOGIN, "lead@x"], True),
        (_connection(None, "site", _certificate("lead@x", "lead")), [InternalCommands.CERT_LOGIN, "lead@x"], False),
        (_connection(None, "site", _certificate("site")), [InternalCommands.CERT_LOGIN, "site"], False),
        (_connection(None, "site", b"?"), [InternalCommands.CERT_LOGIN, "site"], False),
        (_connection(None, "site", _of_no_subject()), [InternalCommands.CERT_LOGIN, "site"], False),
    ],
)
def test_a_person_commands_over_their_own_connection_only(conn: Connection, words: list[str], passes: bool) -> None:
    refusals: Refusals = []
    senders = Senders(lambda *said: refusals.append(said))
    assert not senders.dropped(_message(conn.get_prop(ConnProps.REQUEST).get_header("proven"), ADMIN))
    assert PersonCheck(senders, lambda *said: refusals.append(said)).pre_command(conn, words) is passes
    assert len(refusals) == (0 if passes else 1)


def test_a_connection_that_is_not_known_commands_nothing() -> None:
    refusals: Refusals = []
    check = PersonCheck(Senders(lambda *said: None), lambda *said: refusals.append(said))
    assert not check.pre_command(_connection("lead@x", "lead@x"), ["list_jobs"])
    assert refusals[0][1] == "unknown"


@pytest.mark.parametrize(
    "command", [InternalCommands.CHECK_SESSION, InternalCommands.LOGOUT, "submit_jobs", "list_jobs"]
)
@pytest.mark.parametrize("user", ["lead@x", None])
def test_with_an_upload_nothing_is_taken_but_a_job(command: str, user: str | None) -> None:
    refusals: Refusals = []
    check = PersonCheck(Senders(lambda *said: None), lambda *said: refusals.append(said))
    conn = Connection()  # without a request, as FLARE makes it for an upload
    conn.set_prop(ConnProps.USER_NAME, user)
    assert check.pre_command(conn, ["submit_job", "job"]) and check.pre_command(conn, ["job_mgmt.submit_job", "job"])
    assert not check.pre_command(conn, [command])
    asked = f"{command} with an upload, in the session of {user or 'nobody'}"
    assert refusals == [("command", "unknown", asked)]


def test_a_doorkeeper_that_cannot_stand_ends_the_server() -> None:
    with pytest.raises(UnsafeComponentError, match="the doorkeeper cannot do its work"):
        Doorkeeper().handle_event(EventType.SYSTEM_BOOTSTRAP, FLContext())
    Doorkeeper().handle_event(EventType.SYSTEM_START, FLContext())


def test_reasons_are_words() -> None:
    error = ssl.SSLError(1, "[SSL: HTTP_REQUEST] http request")
    error.reason = "HTTP_REQUEST"
    assert reason_of(error) == "TLS refused: plain HTTP, no TLS"
