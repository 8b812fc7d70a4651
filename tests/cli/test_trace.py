"""`fedvoxel trace`: a collector that speaks OTLP gets a run's spans, once each, and no secret is told."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.ops.tracing.sending import traces_url
from fedvoxel.records.audit import AuditLog
from tests.governance.test_incidents import Place
from tests.ops.tracing.collector import Collector, collecting
from tests.ops.tracing.log_sample import EVENTS, RUN, SECOND_JOB, run_event

Captured = pytest.CaptureFixture[str]
TOKEN = "s3cret-of-the-collector"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"authorization=Bearer {TOKEN}")
    with collecting() as running:
        yield running


def record(place: Place, begin: int = 0, end: int = len(EVENTS)) -> None:
    AuditLog(place.server.state).record([event for _, event in EVENTS[begin:end]])


def trace(place: Place, url: str, *words: str) -> int:
    return main(["trace", RUN, "--server", str(place.server.folder), "--to", url, *words])


def test_a_collector_gets_the_run_with_its_parts(place: Place, collector: Collector, capsys: Captured) -> None:
    record(place)
    assert trace(place, collector.url, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    spans = {span.name: span for span in collector.spans}
    assert told["spans"] == len(spans) == 6 and told["ended"] and collector.tokens == [f"Bearer {TOKEN}"]
    assert {span.trace_id.hex() for span in spans.values()} == {told["trace_id"]}
    assert spans["round 0"].parent_span_id == spans["attempt 1"].span_id
    assert spans["attempt 1"].parent_span_id == spans["run a_run"].span_id and not spans["run a_run"].parent_span_id
    assert {span.status.code for span in spans.values()} == {1}
    sites = [{one.key: one.value.string_value for one in event.attributes} for event in spans["round 0"].events]
    assert [one["fedvoxel.site"] for one in sites] == ["hospital-a", "hospital-b"]
    assert [set(one) for one in collector.resources] == [{"service.name", "service.version"}], "no machine is told of"


def test_a_run_that_failed_is_an_error_with_its_reason(place: Place, collector: Collector) -> None:
    record(place, end=9)
    AuditLog(place.server.state).record([run_event(SECOND_JOB, "failed", "the disk is gone")])
    assert trace(place, collector.url) == 0
    wrong = {span.name: span.status.message for span in collector.spans if span.status.code == 2}
    said = "the disk is gone"
    assert wrong == {"round 2": "it was not committed", "attempt 2": said, "run a_run": said}


def test_given_again_the_spans_are_the_same(place: Place, collector: Collector) -> None:
    record(place)
    assert trace(place, collector.url) == trace(place, f"{collector.url}/v1/traces") == 0
    assert collector.spans[:6] == collector.spans[6:]


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
        ("https://gateway.example/otlp/", "https://gateway.example/otlp/v1/traces"),
        ("https://gateway.example/otlp/v1/traces", "https://gateway.example/otlp/v1/traces"),
    ],
)
def test_an_address_is_a_base_as_otlp_says(given: str, asked: str) -> None:
    assert traces_url(given) == asked


def test_a_run_is_followed_until_it_ends_each_span_once_though_the_collector_fails(
    place: Place, collector: Collector, capsys: Captured
) -> None:
    record(place, end=5)
    collector.statuses = [400]
    after = threading.Timer(1.5, record, (place, 5))
    after.start()
    assert trace(place, collector.url, "--follow", "--interval", "0.3") == 0
    after.join()
    names = [span.name for span in collector.spans]
    assert names == ["round 0", "round 1", "attempt 1", "round 2", "attempt 2", "run a_run"]
    assert capsys.readouterr().err.count("it answered HTTP 400") == 1


@pytest.mark.parametrize(("status", "words"), [(401, "it refused the token (HTTP 401)"), (404, "it answered HTTP 404")])
def test_a_collector_that_refuses_is_one_line_without_a_secret(
    place: Place, collector: Collector, capsys: Captured, status: int, words: str
) -> None:
    record(place)
    collector.statuses = [status]
    assert trace(place, collector.url) == 27
    said = capsys.readouterr()
    assert words in said.err and TOKEN not in said.err + said.out and "secret" not in said.err


def test_a_collector_that_is_down_is_one_line(place: Place, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedvoxel.ops.tracing.sending._TIMEOUT_S", 1.0)
    record(place)
    with collecting() as gone:
        url = gone.url
    assert trace(place, url) == 27
    assert "it cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://collector.example:4318", "in the clear; use https://"),
        (f"https://me:{TOKEN}@collector.example", "holds a login"),
        ("collector.example:4317", "expected the collector's address"),
    ],
)
def test_an_address_at_which_a_secret_is_not_safe_is_refused(
    place: Place, collector: Collector, capsys: Captured, url: str, words: str
) -> None:
    record(place)
    assert trace(place, url) == 3
    said = capsys.readouterr().err
    assert words in said and TOKEN not in said and not collector.spans


def test_another_run_a_sites_kit_and_a_log_that_was_changed_are_refused(
    place: Place, collector: Collector, capsys: Captured
) -> None:
    assert trace(place, collector.url) == 10
    assert main(["trace", RUN, "--server", str(place.kit.folder), "--to", collector.url]) == 3
    record(place)
    log = place.server.state / "audit/audit.jsonl"
    log.write_bytes(log.read_bytes().replace(b"hospital-b", b"hospital-c", 1))
    assert trace(place, collector.url) == 12
    assert capsys.readouterr().err.count("error:") == 3 and not collector.spans
