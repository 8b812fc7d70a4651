"""An upload is a job of whoever signed it, and is gone after its command: FLARE's own upload, filters and job store."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from nvflare.apis.fl_constant import ReservedKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.job_def_manager import SimpleJobDefManager
from nvflare.apis.server_engine_spec import ServerEngineSpec
from nvflare.app_common.streamers.file_streamer import KEY_FILE_LOCATION
from nvflare.fuel.hci.conn import Connection
from nvflare.fuel.hci.server.authz import AuthzFilter
from nvflare.fuel.hci.server.builtin import new_command_register_with_builtin_module
from nvflare.fuel.hci.server.constants import ConnProps
from nvflare.fuel.hci.server.hci import AdminServer
from nvflare.fuel.hci.server.login import LoginModule
from nvflare.fuel.hci.server.sess import Session, SessionManager
from nvflare.fuel.sec.authz import AuthorizationService
from nvflare.private.fed.server.job_cmds import JobCommandModule
from nvflare.security.security import FLAuthorizer

from fedvoxel.flare.command_record import CommandRecord
from fedvoxel.flare.door_checks import PersonCheck, Senders
from fedvoxel.flare.doorkeeper import _with_checks
from fedvoxel.flare.kit_storage import KitStorage
from fedvoxel.flare.submission_check import SubmissionCheck, without_leftovers
from fedvoxel.governance.local_policy import authorization
from fedvoxel.records.audit_event import Actor, AuditEvent
from tests.approval_kits import Hospital, blob_job
from tests.bad_archives import BAD_ARCHIVES, archive_of

Spoiling = Callable[[Hospital, Path], Any]
SESSIONS = {role: Session(role, f"{role}@x.example", "x", role, "origin") for role in ("lead", "member")}


class _Engine(ServerEngineSpec):
    """Is as much of FLARE's server as its job command meets."""

    def __init__(self) -> None:
        self.job_def_manager = SimpleJobDefManager("jobs")
        self._store, self._context = KitStorage("store"), FLContext()
        self._context.set_prop(ReservedKey.ENGINE, self, private=True, sticky=False)

    @contextmanager
    def new_context(self) -> Iterator[FLContext]:  # type: ignore[override]
        yield self._context

    def get_component(self, _: str) -> Any:
        return self._store

    def fire_event(self, *_: Any) -> None:
        """Nobody listens."""

    def jobs(self) -> list[str]:
        return [job.job_id for job in self.job_def_manager.get_all_jobs(self._context)]


_Engine.__abstractmethods__ = frozenset()  # what FLARE's job command does not ask for


class _Sessions(SessionManager):
    """Knows who has logged in; a token is the role."""

    def __init__(self) -> None:
        """Starts no thread that ends sessions."""

    def get_session(self, token: str, _: Any) -> Session | None:
        return SESSIONS.get(token)


class _Server:
    """Is the console's side of a server, with the doorkeeper at its post."""

    def __init__(self, uploads: Path, root_certificate: Path) -> None:
        self.engine, self._uploads = _Engine(), uploads
        self.refusals: list[tuple[str, ...]] = []
        commands = new_command_register_with_builtin_module(self.engine)
        commands.filters = [LoginModule(_Sessions()), AuthzFilter()]
        commands.register_module(JobCommandModule())
        commands.finalize()
        self._admin = AdminServer(None, commands, self.engine, enable_hci=False)
        person = PersonCheck(Senders(self._refused), self._refused)
        self.commands: list[AuditEvent] = []
        checks = person, SubmissionCheck(root_certificate, self._refused), CommandRecord(self.commands.append)
        _with_checks(lambda _: None, *checks)(self._admin)

    def _refused(self, *said: str) -> None:
        self.refusals.append(said)

    def upload(self, command: str, content: bytes, user: str | None = "lead", folder: Path | None = None) -> str:
        """Has FLARE do what it does when it has received a file; returns the reply."""
        path = (folder or self._uploads) / "2a1b8bf8-9d7c-4c5c-86c4-ac764aef7254"
        path.write_bytes(content)
        data = [{"type": "command", "data": command}] + ([{"type": "token", "data": user}] if user else [])
        said = {"conn_data": json.dumps({"data": data}), KEY_FILE_LOCATION: str(path)}
        return str(self._admin._process_upload(said, FLContext()))


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where FLARE puts uploads."""
    (tmp_path / "uploads").mkdir()
    (tmp_path / "kit" / "store" / "jobs").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "uploads"))
    monkeypatch.chdir(tmp_path / "kit")
    monkeypatch.setattr(AuthorizationService, "the_authorizer", FLAuthorizer("x", authorization("server")))
    return tmp_path / "uploads"


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    """Two people with kits."""
    made = Hospital(tmp_path_factory.mktemp("consortium"))
    for role in SESSIONS:
        made.person(f"{role}@x.example", "x", role=role, key=rsa.generate_private_key(65537, 2048))
    return made


@pytest.fixture
def server(uploads: Path, consortium: Hospital) -> _Server:
    return _Server(uploads, consortium.kit.root_certificate)


@pytest.fixture
def job_folder(tmp_path: Path, consortium: Hospital) -> Path:
    """A job that the lead has signed, as the console does."""
    return consortium.signed(blob_job(tmp_path / "job"), "lead@x.example")


@pytest.fixture
def job(job_folder: Path) -> bytes:
    return archive_of(job_folder)


def test_flare_has_the_file_of_a_job_that_it_takes(server: _Server, uploads: Path, job: bytes, tmp_path: Path) -> None:
    assert "Submitted job" in server.upload("submit_job job", job)
    assert len(server.engine.jobs()) == 1 and list(uploads.iterdir()) == []
    (told,) = server.commands
    assert (told.outcome, told.task, told.job_id) == ("allowed", "submit_job", server.engine.jobs()[0])
    assert told.actor == Actor(name="lead@x.example", role="lead", organisation="x")
    assert job in [path.read_bytes() for path in (tmp_path / "kit").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("command", "user", "reply"),
    [
        ("submit_job job", None, "not authenticated"),
        ("submit_job job", "forged", "Exception Occurred"),
        ("submit_job job", "member", "not authorized"),
        ("no_such_command job", "member", "Unknown command"),
        ("list_jobs", "lead", "refused"),
        ("delete_job 2a1b8bf8-9d7c-4c5c-86c4-ac764aef7254", "lead", "refused"),
        ("submit_job", "lead", "required"),
        ("submit_job another", "lead", "not existing"),
        ("", "member", "Unknown command"),
    ],
)
def test_what_is_no_permitted_job_is_gone(
    server: _Server, uploads: Path, job: bytes, command: str, user: str | None, reply: str
) -> None:
    assert reply in server.upload(command, job, user)
    assert server.engine.jobs() == [] and list(uploads.iterdir()) == []
    assert server.commands == []


def test_a_stolen_session_gives_no_command_with_an_upload(server: _Server, job: bytes) -> None:
    """FLARE runs any command that comes with a file, and does not say over whose connection."""
    assert "Submitted job" in server.upload("submit_job job", job)
    stored = server.engine.jobs()[0]
    for command in (f"delete_job {stored}", f"job_mgmt.delete_job {stored}"):
        assert "refused" in server.upload(command, job)
        asked = "command", "unknown", f"{command.split()[0]} with an upload, in the session of lead@x.example"
        assert server.refusals.pop() == asked
    assert len(server.engine.jobs()) == 1 and not server.refusals


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda consortium, job: consortium.signed(job, "member@x.example"), "signed by member@x.example and came"),
        (
            lambda consortium, job: consortium.signed(job / "app", "member@x.example"),
            "signed by lead@x.example, member@x",
        ),
        (lambda consortium, job: (job / "app/config/more.json").write_text("{}"), "not as it is now"),
        (lambda consortium, job: (job / ".__nvfl_sig.json").unlink(), "not signed"),
    ],
)
def test_a_job_is_taken_from_the_one_who_signed_all_of_it_only(
    server: _Server, uploads: Path, consortium: Hospital, job_folder: Path, spoil: Spoiling, why: str
) -> None:
    spoil(consortium, job_folder)
    reply = server.upload("submit_job job", archive_of(job_folder))
    assert why in reply and "in the session of lead@x.example" in reply
    [(task, who, told)] = server.refusals
    assert (task, who) == ("submit_job", "lead@x.example") and why in told and server.commands == []
    assert server.engine.jobs() == [] and list(uploads.iterdir()) == []


def test_a_second_folder_is_signed_as_well(server: _Server, job_folder: Path) -> None:
    archive = archive_of(job_folder, lambda packed: packed.writestr("another/meta.json", b"{}"))
    assert "not signed" in server.upload("submit_job job", archive)


def test_a_signature_that_cannot_be_looked_at_is_none(server: _Server, job_folder: Path) -> None:
    archive = archive_of(job_folder, lambda packed: packed.writestr("job/meta.json/deeper.json", b"{}"))
    assert "could not unpack the job" in server.upload("submit_job job", archive)
    assert len(server.refusals) == 1 and server.engine.jobs() == []


def test_what_the_check_refuses_is_gone(server: _Server, uploads: Path, tmp_path: Path) -> None:
    archive = archive_of(blob_job(tmp_path / "job"), BAD_ARCHIVES["bzip2"][0])
    assert "packed otherwise" in server.upload("submit_job job", archive)
    assert len(server.refusals) == 1 and list(uploads.iterdir()) == []


def test_a_job_that_is_submitted_again_is_kept_once(server: _Server, uploads: Path, job: bytes) -> None:
    for _ in range(3):
        assert "Submitted job" in server.upload("submit_job job --submit-token again", job)
    assert len(server.engine.jobs()) == 1 and list(uploads.iterdir()) == []


def test_nothing_is_removed_elsewhere(server: _Server, job: bytes, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "uploads" / "deeper"):
        folder.mkdir(exist_ok=True)
        server.upload("no_such_command job", job, folder=folder)
        assert [path for path in folder.iterdir() if path.is_file()]


def test_nothing_is_left_where_flare_stumbles(uploads: Path) -> None:
    def stumbles(conn: Connection, command: str) -> None:
        raise RuntimeError(command)

    conn = Connection()
    conn.set_prop(ConnProps.FILE_LOCATION, str(uploads / "upload"))
    (uploads / "upload").touch()
    with pytest.raises(RuntimeError, match="submit_job"):
        without_leftovers(stumbles)(conn, "submit_job job")
    assert list(uploads.iterdir()) == []
