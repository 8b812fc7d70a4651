"""A PACS that hangs, breaks off, lies or floods over DICOMweb: an error with its reason, and nothing is complete."""

import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from fedvoxel.dicom import http_session
from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.multipart import related
from fedvoxel.dicom.pacs import Pacs, _series_of, open_pacs
from fedvoxel.dicom.query import FoundSeries, SeriesQuery
from fedvoxel.errors import DicomError
from tests.dicom.bad_pacs import http_server, json_answers, socket_server
from tests.dicom.conftest import PARSED
from tests.dicom.test_bad_dimse import closed, garbage, silent

Handler = BaseHTTPRequestHandler


class BadWeb:
    """Holds one series and hands it out as its tests want.

    Attributes:
        body: What it sends for the instances asked for, instead of all of a message.
        length: The Content-Length that it claims; none, and the connection's end is the message's, if None.
        questions: What it does at a question, instead of answering.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.files = [path.read_bytes() for path in paths]
        self.held = [pydicom.dcmread(path) for path in paths]
        self.handed = self.files
        self.body: Callable[[bytes], bytes] = lambda whole: whole
        self.honest_length, self.status, self.asked = True, 200, 0
        self.questions: Callable[[Handler], bytes | None] = lambda handler: None

    def reply(self, handler: Handler, path: str) -> None:
        if path.endswith("/instances") or "/series/" not in path:
            self._answer(handler, path)
            return
        self.asked += 1
        uid = path.partition("/instances/")[2]
        sent = [one for one, data in zip(self.handed, self.held, strict=False) if uid in ("", data.SOPInstanceUID)]
        kind, whole = related(sent)
        if self.status != 200 or not sent:
            handler.send_error(404 if self.status == 200 else self.status)
            return
        body = self.body(whole)
        send(handler, body, kind, len(whole if self.honest_length else body))

    def _answer(self, handler: Handler, path: str) -> None:
        special = self.questions(handler)
        if special is not None:
            if special:
                send(handler, special, "application/dicom+json", len(special))
            return
        level = "STUDY" if path.endswith("/studies") else "IMAGE" if path.endswith("/instances") else "SERIES"
        body = json_answers(self.held, level)
        send(handler, body, "application/dicom+json", len(body))


def send(handler: Handler, body: bytes, kind: str, length: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(body)


def opened(url: str, **changed: Any) -> Pacs:
    return open_pacs(PARSED.validate_python({"protocol": "dicomweb", "url": url, "timeout_s": 1} | changed), Path())


def refusal(attempt: Callable[[], object]) -> str:
    with pytest.raises(DicomError) as refused:
        attempt()
    return refused.value.reason


@pytest.fixture
def bad(head: list[Path]) -> BadWeb:
    return BadWeb(head[:6])


@pytest.fixture
def fetch(bad: BadWeb, store: IncomingStore) -> Any:
    with http_server(bad.reply) as url:
        found = opened(url).find(SeriesQuery())[0]
        yield lambda **changed: opened(url, **changed).fetch(found, store)


@pytest.fixture
def store(tmp_path: Path) -> IncomingStore:
    return IncomingStore(tmp_path / "incoming")


@pytest.fixture
def found(bad: BadWeb) -> FoundSeries:
    one = bad.held[0]
    return FoundSeries(one.PatientID, one.StudyInstanceUID, one.SeriesInstanceUID, "MR", None)


def here(store: IncomingStore) -> int:
    return len(list(store.folder.glob("*/*.dcm")))


def test_a_good_one_is_believed(bad: BadWeb, fetch: Any, store: IncomingStore, found: FoundSeries) -> None:
    fetch()
    assert store.is_complete(found) and here(store) == 6 and bad.asked == 1


@pytest.mark.parametrize("honest", [True, False], ids=["content length", "closing delimiter"])
def test_an_answer_that_ends_early_is_continued(
    bad: BadWeb, fetch: Any, store: IncomingStore, found: FoundSeries, honest: bool
) -> None:
    bad.honest_length, bad.body = honest, lambda whole: whole[: len(whole) * 3 // 4]
    assert refusal(fetch) == "pacs_cut_off"
    assert here(store) == 4 and not store.is_complete(found)
    assert [path for path in store.series_folder(found).iterdir() if path.suffix != ".dcm"] == []
    bad.body = lambda whole: whole
    fetch()
    assert store.is_complete(found) and bad.asked == 1 + 2


def test_fewer_than_listed_is_asked_for_again_and_never_complete(
    bad: BadWeb, fetch: Any, store: IncomingStore, found: FoundSeries
) -> None:
    bad.handed = bad.files[:5]
    assert refusal(fetch) == "pacs_incomplete"
    assert here(store) == 5 and bad.asked == 2 and not store.is_complete(found)


@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_instance_of_another_is_not_kept(
    bad: BadWeb, fetch: Any, store: IncomingStore, found: FoundSeries, keyword: str, tmp_path: Path
) -> None:
    setattr(bad.held[2], keyword, generate_uid())
    bad.held[2].save_as(tmp_path / "other.dcm")
    bad.handed = [*bad.files[:2], (tmp_path / "other.dcm").read_bytes(), *bad.files[3:]]
    setattr(bad.held[2], keyword, getattr(bad.held[1], keyword))
    assert refusal(fetch) == "pacs_foreign_instance"
    assert here(store) == 2 and not store.is_complete(found)


@pytest.mark.parametrize("content", [b"", b"no DICOM at all" * 99, b"\x00" * 128 + b"DICM" + b"\xff" * 99])
def test_a_part_that_is_no_instance(bad: BadWeb, fetch: Any, store: IncomingStore, content: bytes) -> None:
    bad.handed = [*bad.files[:2], content, *bad.files[3:]]
    assert refusal(fetch) == "pacs_garbled"
    assert here(store) == 2


def test_an_answer_that_is_no_multipart(bad: BadWeb, fetch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.related", lambda sent: ("application/dicom", sent[0]))
    assert refusal(fetch) == "pacs_garbled"


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "pacs_credentials"), (500, "pacs_failed"), (406, "pacs_unsupported")]
)
def test_a_failure_has_its_reason(bad: BadWeb, fetch: Any, status: int, reason: str) -> None:
    bad.status = status
    assert refusal(fetch) == reason


def test_falling_silent_ends_in_time(bad: BadWeb, fetch: Any, store: IncomingStore) -> None:
    def stall(handler: Handler) -> bytes:
        time.sleep(3)
        return b""

    bad.questions, began = stall, time.monotonic()
    assert refusal(fetch) == "pacs_timeout"
    assert time.monotonic() - began < 2.5


def test_trickling_ends_in_time(bad: BadWeb, fetch: Any) -> None:
    def trickle(handler: Handler) -> bytes:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(40):
            handler.wfile.write(b" ")
            time.sleep(0.1)
        return b""

    bad.questions, began = trickle, time.monotonic()
    assert refusal(lambda: fetch(series_timeout_s=1)) == "pacs_timeout"
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "answer",
    [b"nonsense", b"[1, 2]", b'[{"0020000D": 7}]', b'{"a": ', b'[{"0020000D": {"Value": ["../x"]}}]', b"[{}]", b"7"],
)
def test_answers_that_are_none(bad: BadWeb, answer: bytes) -> None:
    bad.questions = lambda handler: answer
    with http_server(bad.reply) as url:
        assert refusal(lambda: opened(url).find(SeriesQuery())) == "pacs_garbled"


def test_answers_without_end(bad: BadWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]}} for number in range(50)]
    bad.questions = lambda handler: json.dumps(entries).encode()
    with http_server(bad.reply) as url:
        assert refusal(lambda: opened(url, limits={"series": 20}).find(SeriesQuery())) == "pacs_too_much"
        monkeypatch.setattr(http_session, "MAX_ANSWER_BYTES", 1000)
        assert refusal(lambda: opened(url).find(SeriesQuery())) == "pacs_too_much"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"00081199": {"vr": "SQ", "Value": [{}, {}]}}, None),
        ({"00081199": {"vr": "SQ", "Value": [{}]}}, "pacs_not_stored"),
        ({"00081199": {"vr": "SQ", "Value": [{}]}, "00081198": {"vr": "SQ", "Value": [{}]}}, "pacs_not_stored"),
        ({"00081198": {"vr": "SQ", "Value": [{}, {}]}}, "pacs_not_stored"),
        ({}, "pacs_not_stored"),
        (7, "pacs_garbled"),
    ],
)
def test_what_was_not_stored_is_said(bad: BadWeb, head: list[Path], said: Any, reason: str | None) -> None:
    bad.questions = lambda handler: json.dumps(said).encode()
    with http_server(bad.reply) as url:
        if reason is None:
            opened(url).send(head[:2])
        else:
            assert refusal(lambda: opened(url).send(head[:2])) == reason


def test_nobody_is_followed_elsewhere(bad: BadWeb) -> None:
    """A redirection could take the password, or the question, to another machine or out of TLS."""

    def redirect(handler: Handler) -> bytes:
        handler.send_response(302)
        handler.send_header("Location", f"http://{handler.headers['Host']}/elsewhere/studies")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return b""

    bad.questions = redirect
    with http_server(bad.reply) as url:
        assert refusal(opened(url).check) == "pacs_garbled"


@pytest.mark.parametrize("behave", [silent, garbage, closed])
def test_what_is_no_pacs_is_told_so_in_time(behave: Any) -> None:
    with socket_server(behave) as port:
        began = time.monotonic()
        reason = refusal(opened(f"http://127.0.0.1:{port}").check)
        assert time.monotonic() - began < 5
    assert reason == {silent: "pacs_timeout", garbage: "pacs_garbled", closed: "pacs_cut_off"}[behave]


@pytest.mark.parametrize(("modality", "count"), [("[/red]DOE^JANE\x1b[2J", "9" * 5000), ("ct", "\u0663")])
def test_what_a_pacs_says_of_a_series_is_not_repeated(modality: str, count: str) -> None:
    class Talks:
        def ask(self, level: str, keys: object, most: int) -> list[dict[str, str]]:
            said = {"Modality": modality, "NumberOfSeriesRelatedInstances": count}
            return [{"SeriesInstanceUID": "1.2.3", "StudyInstanceUID": "1.2", **said}]

    (found,) = _series_of(Talks(), {"StudyInstanceUID": "1.2"}, SeriesQuery(), 9)
    assert (found.modality, found.instances) == ("", None)
