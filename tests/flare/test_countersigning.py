"""The server asks all sites beside the tasks: what they say is recorded, and no site's silence ends anything."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from nvflare.apis.client import Client
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.private.fed.server.server_engine import ServerEngine

from fedvoxel.flare.countersigning import Countersigning
from fedvoxel.flare.messages import COUNTERSIGN_TOPIC
from fedvoxel.governance.countersigning import Question
from fedvoxel.records.audit_event import AuditEvent
from tests.fuzz.der import pem
from tests.governance.audited_logs import RUN, SITES, MadeUpRun, made_up_run, said

Reply = Callable[[str, Question], Shareable | None]


class Engine:
    """Stands where FLARE's server engine does: hands the question to each site that FLARE's own rule finds."""

    logger = logging.getLogger("engine")
    _to_aux_msg_targets = ServerEngine._to_aux_msg_targets
    _get_aux_msg_target = ServerEngine._get_aux_msg_target

    def __init__(self, reply: Reply, here: Sequence[str]) -> None:
        self._reply, self._here = reply, {site: Client(site, site) for site in here}

    def get_clients(self) -> list[Client]:
        return list(self._here.values())

    def get_client_from_name(self, name: str) -> Client | None:
        return self._here.get(name)

    @contextmanager
    def new_context(self) -> Iterator[FLContext]:
        yield FLContext()

    def send_aux_request(
        self, targets: list[str], topic: str, request: Shareable, timeout: float, fl_ctx: FLContext, optional: bool
    ) -> dict[str, Any]:
        assert topic == COUNTERSIGN_TOPIC and timeout > 0 and optional
        question = Question.model_validate(request["question"])
        known = [target.name for target in self._to_aux_msg_targets(targets)]
        replies = {site: self._reply(site, question) for site in known}
        return {site: reply for site, reply in replies.items() if reply is not None}


def signing(run: MadeUpRun) -> Reply:
    """Returns what sites reply that do as they should."""

    def reply(site: str, question: Question) -> Shareable:
        made = make_reply(ReturnCode.OK)
        made["answer"] = run.answer(site, question).model_dump(mode="json")
        return made

    return reply


def countersigning(run: MadeUpRun, reply: Reply, here: Sequence[str] = SITES) -> Countersigning:
    startup = run.folder / "startup"
    startup.mkdir(exist_ok=True)
    (startup / "rootCA.pem").write_bytes(run.root.certificate.public_bytes(Encoding.PEM))
    context = FLContext()
    workspace = SimpleNamespace(get_startup_kit_dir=lambda: str(startup))
    context.set_prop(FLContextKey.WORKSPACE_OBJECT, workspace, private=True, sticky=False)
    context.set_prop(ReservedKey.ENGINE, Engine(reply, here), private=True, sticky=False)
    context.set_prop(ReservedKey.RUN_NUM, "job-1", private=False, sticky=False)
    return Countersigning(context, run.server, RUN)


def recorded(run: MadeUpRun) -> list[AuditEvent]:
    """What the server has recorded of countersignatures after the two rounds of the made-up run."""
    return [event for _, event in run.server.read() if event.kind == "countersignature"][2 * len(SITES) :]


@pytest.fixture
def run(tmp_path: Path) -> MadeUpRun:
    return made_up_run(tmp_path, rounds=2)


def test_what_the_sites_sign_is_recorded(run: MadeUpRun) -> None:
    countersigning(run, signing(run)).end(SITES, 1)
    assert [(event.site, event.outcome, event.round) for event in recorded(run)] == [
        (site, "done", 1) for site in SITES
    ]


def test_a_site_that_had_signed_more_than_is_known_is_asked_again_with_another_proof(run: MadeUpRun) -> None:
    run.answer(SITES[0], run.question(SITES[0], 2))
    run.server.record([said("job")])
    countersigning(run, signing(run)).end(SITES, 1)
    assert [(event.site, event.outcome) for event in recorded(run)] == [
        (SITES[0], "refused"), (SITES[1], "done"), (SITES[0], "done"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "reply", [None, Shareable(), make_reply(ReturnCode.TOPIC_UNKNOWN), Shareable({"answer": {"known": "many"}})]
)
def test_nothing_or_nonsense_is_recorded_as_missing(run: MadeUpRun, reply: Shareable | None) -> None:
    countersigning(run, lambda site, question: reply).end(SITES, 1)
    assert [event.outcome for event in recorded(run)] == ["missing"] * 2


def test_a_certificate_of_no_known_version_costs_its_own_site_the_signature_and_no_other(run: MadeUpRun) -> None:
    def reply(site: str, question: Question) -> Shareable | None:
        made = signing(run)(site, question)
        if made and site == SITES[0]:
            signature = made["answer"]["signature"]
            der = x509.load_pem_x509_certificate(signature["certificate"].encode()).public_bytes(Encoding.DER)
            spoiled = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x40", 1)
            signature["certificate"] = pem("CERTIFICATE", spoiled).decode()
        return made

    countersigning(run, reply).end(SITES, 1)
    assert [(event.site, event.outcome) for event in recorded(run)] == [(SITES[0], "failed"), (SITES[1], "done")]


@pytest.mark.parametrize("here", [(), SITES[:1], SITES[1:], SITES])
def test_a_site_of_the_run_that_is_not_in_this_attempt_keeps_no_other_from_signing(
    here: Sequence[str], run: MadeUpRun
) -> None:
    countersigning(run, signing(run), here).end(SITES, 1)
    said = {event.site: event.outcome for event in recorded(run)}
    assert said == {site: "done" if site in here else "missing" for site in SITES}


def test_what_breaks_the_asking_ends_nothing(run: MadeUpRun, caplog: pytest.LogCaptureFixture) -> None:
    def broken(site: str, question: Question) -> Shareable:
        raise RuntimeError("no cell")

    countersigning(run, broken).end(SITES, 1)
    assert recorded(run) == [] and "event=not_countersigned" in caplog.text
    (run.folder / "startup" / "rootCA.pem").unlink()
    caplog.clear()
    made = countersigning(run, signing(run))
    (run.folder / "startup" / "rootCA.pem").unlink()
    made.end(SITES, 1)
    assert recorded(run) == [] and "root certificate" in caplog.text


def test_a_slow_site_does_not_make_questions_pile_up(run: MadeUpRun) -> None:
    asked, go_on, sign = threading.Event(), threading.Event(), signing(run)

    def slow(site: str, question: Question) -> Shareable | None:
        asked.set()
        go_on.wait(20)
        return sign(site, question)

    made = countersigning(run, slow)
    made.ask(SITES, 1)
    assert asked.wait(20)
    for index in (2, 3, 4):
        made.ask(SITES, index)
    go_on.set()
    made.end(SITES, 5)
    rounds = [event.round for event in recorded(run)]
    assert rounds[:2] == [1, 1] and rounds[-2:] == [5, 5] and not {2, 3} & set(rounds)
