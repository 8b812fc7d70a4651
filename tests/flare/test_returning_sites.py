"""A site that registers anew is put back into its running jobs; the server's engine is a fake."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nvflare.apis.client import Client, ClientPropKey
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, RunProcessKey, ServerCommandKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.private.admin_defs import Message
from nvflare.private.fed.server.message_send import ClientReply

from fedvoxel.flare.messages import SITE_CONNECTED, SITES_CHANGED
from fedvoxel.flare.returning_sites import ReturningSites
from fedvoxel.governance.sites_heard import read_sites_heard

JOB, OTHERS_JOB = "job-1", "job-2"


class _Job:
    job_id, meta = JOB, {"resource_spec": {}}


class Engine:
    """Is a server with one job of two sites, and another job that hospital-b has no part in."""

    def __init__(self) -> None:
        self.client_manager = self.job_runner = self
        self.name_to_clients = {name: Client(name, f"first-{name}") for name in ("hospital-a", "hospital-b")}
        of_job = {client.token: client for client in self.name_to_clients.values()}
        self.run_processes = {
            JOB: {RunProcessKey.PARTICIPANTS: of_job},
            OTHERS_JOB: {RunProcessKey.PARTICIPANTS: {"first-hospital-a": self.name_to_clients["hospital-a"]}},
        }
        self.running_jobs: dict[str, Any] = {JOB: _Job()}
        self.outcomes = {("job-1", "hospital-b"), ("ended-job", "hospital-b")}
        self.known: tuple[str, ...] = ("hospital-a", "hospital-b")
        self.enough, self.answer = True, "Start the client app..."
        self.started: list[tuple[str, str]] = []
        self.told: list[str] = []
        self.answers, self.connected = True, list[tuple[str, str]]()

    def register_anew(self, name: str) -> None:
        self.name_to_clients[name] = Client(name, f"second-{name}")

    def tokens(self, job_id: str) -> set[str]:
        return set(self.run_processes[job_id][RunProcessKey.PARTICIPANTS])

    def get_client_outcome_jobs(self, name: str) -> set[str]:
        return {job for job, site in self.outcomes if site == name}

    def resolve_client_outcome(self, job: str, site: str) -> None:
        self.outcomes.discard((job, site))

    def send_app_command(self, job: str, topic: str, data: Any, timeout: float) -> Shareable:
        reply = Shareable()
        if topic == SITE_CONNECTED:
            self.connected.append((job, data["site"]))
            if self.answers:
                reply[ServerCommandKey.DATA] = {}
            return reply
        assert (topic, data) == (SITES_CHANGED, {})
        self.told.append(job)
        reply[ServerCommandKey.DATA] = {"sites": list(self.known)}
        return reply

    def check_client_resources(self, job: Any, needed: dict[str, Any], fl_ctx: FLContext) -> dict[str, Any]:
        return dict.fromkeys(needed, (self.enough, "reserved"))

    def start_client_job(self, job: Any, sites: dict[str, Any], fl_ctx: FLContext) -> list[ClientReply]:
        (site,) = sites
        assert sites[site].token == "reserved"
        self.started.append((job.job_id, self.name_to_clients[site].token))
        message = Message("reply_start_job", self.answer)
        return [ClientReply(self.name_to_clients[site].token, site, Message("start_job", ""), message)]

    def new_context(self) -> FLContext:
        return FLContext()


def _heartbeat(server: ReturningSites, engine: Engine, site: str) -> None:
    fl_ctx, peer = FLContext(), FLContext()
    fl_ctx.set_prop(ReservedKey.ENGINE, engine, private=True, sticky=False)
    peer.set_prop(ReservedKey.IDENTITY_NAME, site, private=False, sticky=False)
    fl_ctx.set_peer_context(peer)
    server.handle_event(EventType.CLIENT_HEARTBEAT_RECEIVED, fl_ctx)
    _until(lambda: not any("_bring_back" in thread.name for thread in threading.enumerate()))


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_site_that_registered_anew_is_put_back_into_its_job_and_asked_to_start_it() -> None:
    server, engine = ReturningSites(), Engine()
    _heartbeat(server, engine, "hospital-b")
    assert engine.told == engine.started == []
    engine.register_anew("hospital-b")
    _heartbeat(server, engine, "hospital-b")
    assert engine.tokens(JOB) == {"first-hospital-a", "second-hospital-b"}
    assert engine.tokens(OTHERS_JOB) == {"first-hospital-a"}
    assert engine.told == [JOB]
    assert engine.started == [(JOB, "second-hospital-b")]
    _heartbeat(server, engine, "hospital-b")
    assert len(engine.started) == 1, "once"


def test_flare_does_not_wait_for_what_went_with_the_machine() -> None:
    server, engine = ReturningSites(), Engine()
    _heartbeat(server, engine, "hospital-b")
    assert len(engine.outcomes) == 2
    engine.register_anew("hospital-b")
    _heartbeat(server, engine, "hospital-b")
    assert engine.outcomes == set()


@pytest.mark.parametrize("trouble", ["unknown to the job", "busy", "refused"])
def test_it_is_tried_again_with_the_next_heartbeats_and_not_for_ever(trouble: str) -> None:
    server, engine = ReturningSites(), Engine()
    engine.register_anew("hospital-b")
    good = engine.known, engine.enough, engine.answer
    if trouble == "unknown to the job":
        engine.known = ("hospital-a",)
    engine.enough = trouble != "busy"
    engine.answer = "NVFLARE_ERROR: no" if trouble == "refused" else engine.answer
    _heartbeat(server, engine, "hospital-b")
    engine.known, engine.enough, engine.answer = good
    started = len(engine.started)
    _heartbeat(server, engine, "hospital-b")
    assert len(engine.started) == started + 1
    engine.register_anew("hospital-a")
    engine.answer = "NVFLARE_ERROR: no"
    for _ in range(15):
        _heartbeat(server, engine, "hospital-a")
    assert len(engine.started) == started + 1 + 10


def test_a_job_that_has_ended_meanwhile_is_left_alone() -> None:
    server, engine = ReturningSites(), Engine()
    engine.register_anew("hospital-b")
    engine.running_jobs.clear()
    _heartbeat(server, engine, "hospital-b")
    assert engine.told == engine.started == []


def test_whoever_is_not_registered_is_ignored() -> None:
    server, engine = ReturningSites(), Engine()
    _heartbeat(server, engine, "stranger")
    server.handle_event(EventType.CLIENT_HEARTBEAT_RECEIVED, FLContext())
    assert engine.started == []


def _offer(server: ReturningSites, job_id: str, *sites: str) -> None:
    fl_ctx = FLContext()
    fl_ctx.set_prop(FLContextKey.CURRENT_JOB_ID, job_id, private=True, sticky=False)
    fl_ctx.set_prop(FLContextKey.JOB_PARTICIPANTS, ["server", *sites], private=True, sticky=False)
    server.handle_event(EventType.BEFORE_CHECK_CLIENT_RESOURCES, fl_ctx)


def test_a_job_is_told_once_of_a_site_that_was_away_when_it_was_offered() -> None:
    server, engine = ReturningSites(), Engine()
    _offer(server, JOB, "hospital-a", "hospital-b")
    _offer(server, OTHERS_JOB, "hospital-a")
    _offer(server, "waits-for-room", "hospital-a")
    engine.answers = False
    _heartbeat(server, engine, "hospital-b")
    assert engine.connected == [(OTHERS_JOB, "hospital-b")], "its process has just begun, and does not answer"
    engine.answers = True
    for _ in range(3):
        _heartbeat(server, engine, "hospital-b")
        _heartbeat(server, engine, "hospital-a")
    assert engine.connected == [(OTHERS_JOB, "hospital-b")] * 2
    assert engine.started == engine.told == []


def test_a_job_that_has_ended_is_told_of_nobody() -> None:
    server, engine = ReturningSites(), Engine()
    _offer(server, OTHERS_JOB, "hospital-a")
    fl_ctx = FLContext()
    fl_ctx.set_prop(FLContextKey.EVENT_DATA, {"job_id": OTHERS_JOB}, private=True, sticky=False)
    server.handle_event(EventType.JOB_COMPLETED, fl_ctx)
    _heartbeat(server, engine, "hospital-b")
    assert engine.connected == []


def _begun(state: Path) -> ReturningSites:
    server, fl_ctx, workspace = ReturningSites(), FLContext(), SimpleNamespace(get_root_dir=lambda: str(state.parent))
    fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, workspace, private=True, sticky=False)
    server.handle_event(EventType.SYSTEM_BOOTSTRAP, fl_ctx)
    return server


def test_each_heartbeat_of_a_site_is_noted_with_the_organisation_of_its_certificate(tmp_path: Path) -> None:
    server, engine = _begun(tmp_path / "state"), Engine()
    engine.name_to_clients["hospital-a"].set_prop(ClientPropKey.ORG, "hospital_a")
    _heartbeat(server, engine, "hospital-a")
    engine.name_to_clients["relay-1"] = Client("relay-1", "first-relay-1")
    engine.name_to_clients["relay-1"].set_is_leaf(False)
    _heartbeat(server, engine, "relay-1")
    _heartbeat(server, engine, "a-stranger")
    heard = read_sites_heard(tmp_path / "state").sites
    assert {name: one.organisation for name, one in heard.items()} == {"hospital-a": "hospital_a"}
