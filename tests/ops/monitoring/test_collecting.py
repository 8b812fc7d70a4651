"""What a kit's files say becomes metrics; what cannot be read is told, and takes nothing else away."""

import json
import os
from pathlib import Path

import pytest

from fedvoxel.federation.drift.result import make_result
from fedvoxel.federation.outcome import OUTCOME_FILE, write_outcome
from fedvoxel.governance.incidents.switches import halt, set_quarantined
from fedvoxel.governance.kit import open_kit
from fedvoxel.ops.monitoring.collecting import MOST_RUNS, collect
from fedvoxel.ops.monitoring.sample import METRICS, Sample
from fedvoxel.records.atomic import write_json
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import AuditEvent
from tests.federation.drift.test_answers import cells, question, told
from tests.governance.evidence_sample import COHORT, A, B, evidence_sample
from tests.governance.evidence_sample import Sample as Consortium
from tests.governance.test_incidents import IT, Place, say
from tests.sample_run import CASES, failed_outcome, sample_outcome


@pytest.fixture(scope="module")
def consortium(tmp_path_factory: pytest.TempPathFactory) -> Consortium:
    return evidence_sample(tmp_path_factory.mktemp("monitoring"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def value(samples: list[Sample], metric: str, **labels: str) -> float:
    (found,) = [one.value for one in samples if one.metric == metric and labels.items() <= one.labels.items()]
    return found


def problems(samples: list[Sample]) -> set[str]:
    return {one.labels["what"] for one in samples if one.metric == "problem" and one.value}


def test_every_sample_is_of_a_metric_that_is_explained_with_the_same_labels(consortium: Consortium) -> None:
    for kit in (consortium.server, consortium.kit(A)):
        labels: dict[str, set[str]] = {}
        for sample in collect(open_kit(kit)):
            assert sample.metric in METRICS
            assert labels.setdefault(sample.metric, set(sample.labels)) == set(sample.labels)
        assert not problems(collect(open_kit(kit)))


def test_a_run_is_told_as_its_record_has_it(place: Place) -> None:
    run = sample_outcome()
    write_outcome(run, place.server.state / "runs" / run.run_key / OUTCOME_FILE)
    write_outcome(failed_outcome(), place.server.state / "runs" / "another" / OUTCOME_FILE)
    samples = collect(place.server)
    assert value(samples, "run_status", run=run.run_key, status="finished") == 1
    assert value(samples, "run_status", run=run.run_key, status="failed") == 0
    assert value(samples, "run_status", run="another", status="failed") == 1
    assert value(samples, "run_rounds_committed", run=run.run_key) == run.rounds_committed
    last = run.rounds[-1]
    assert value(samples, "run_sites", run=run.run_key, became="contributed") == len(last.contributed) <= len(CASES)
    assert value(samples, "run_round_seconds", run=run.run_key) == last.seconds
    assert 0 < value(samples, "run_validation_dice", run=run.run_key) < 1
    assert value(samples, "run_sites", run="another", became="missing") == 2


def test_the_last_drift_watch_of_each_model_is_told_and_one_that_was_changed_is_a_problem(place: Place) -> None:
    folder = place.server.state / "drift_watches"
    for name, (unusual, counts) in {"liver": (20, (20, 0, 20, 0)), "lung": (0, (20, 20, 0, 0))}.items():
        found = make_result(question(), {"a": told(unusual=unusual, **cells(*counts))}, {})
        write_json(folder / f"{name}.json", found.model_dump(mode="json"))
    samples = collect(place.server)
    assert (value(samples, "drift_alarm", model="liver"), value(samples, "drift_alarm", model="lung")) == (1, 0)
    assert value(samples, "drift_last_timestamp_seconds", model="lung") > 0 and not problems(samples)
    path = folder / "liver.json"
    values = json.loads(path.read_text())
    write_json(path, values | {"verdict": "stable"})
    samples = collect(place.server)
    assert problems(samples) == {"drift watch liver"} and value(samples, "drift_alarm", model="lung") == 0


def test_the_newest_runs_are_told(place: Place) -> None:
    for index in range(MOST_RUNS + 3):
        path = place.server.state / "runs" / f"run-{index}" / OUTCOME_FILE
        write_outcome(failed_outcome(), path)
        os.utime(path, (1000 + index, 1000 + index))
    told = {one.labels["run"] for one in collect(place.server) if one.metric == "run_status"}
    assert told == {f"run-{index}" for index in range(3, MOST_RUNS + 3)}


def test_what_was_spent_stands_beside_what_is_granted(consortium: Consortium) -> None:
    samples = collect(open_kit(consortium.kit(A)))
    assert value(samples, "privacy_epsilon_budget", cohort=COHORT, unit="patient") == 8.0
    assert 0 < value(samples, "privacy_epsilon_spent", cohort=COHORT, unit="patient") < 8.0
    assert value(samples, "privacy_delta_spent", cohort=COHORT) < value(samples, "privacy_delta_budget", cohort=COHORT)
    assert not [one for one in collect(open_kit(consortium.kit(B))) if one.metric.startswith("privacy")]


def test_switches_and_incidents_are_told(place: Place) -> None:
    assert value(collect(place.server), "halted") == 0
    halt(place.server.state)
    set_quarantined(place.server.state, ["hospital-b"])
    say(place.kit, place.who(IT), "declared")
    samples = collect(place.server)
    assert (value(samples, "halted"), value(samples, "quarantined_sites")) == (1, 1)
    assert value(collect(place.kit), "incidents_open", severity="high") == 1
    assert value(collect(place.kit), "incidents_open", severity="low") == 0


def test_the_audit_log_and_certificates_are_told(place: Place) -> None:
    AuditLog(place.kit.state).record([AuditEvent(kind="job", outcome="done")] * 3)
    samples = collect(place.kit)
    assert value(samples, "audit_last_timestamp_seconds") > 1e9
    ends = value(samples, "certificate_ends_timestamp_seconds", what="own")
    assert ends < value(samples, "certificate_ends_timestamp_seconds", what="root 1")


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("state/incidents/incidents.jsonl", "incidents"),
        ("state/quarantined.json", "quarantine"),
        ("state/audit/head.json", "audit"),
        ("startup/rootCA.pem", "certificates"),
        ("state/runs/a_run/outcome.json", "run a_run"),
    ],
)
def test_what_cannot_be_read_is_told_and_the_rest_is_there(file: str, what: str, place: Place) -> None:
    path = place.server.folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("damaged\n")
    samples = collect(place.server)
    assert what in problems(samples) and value(samples, "disk_free_bytes") > 0


def test_what_was_read_before_something_that_cannot_be_is_told(place: Place) -> None:
    (place.server.folder / "startup/rootCA.pem").write_text("damaged\n")
    set_quarantined(place.server.state, ["hospital-b"])
    (place.server.state / "quarantined.json").write_text("damaged\n")
    halt(place.server.state)
    samples = collect(place.server)
    assert value(samples, "certificate_ends_timestamp_seconds", what="own") > 1e9
    assert value(samples, "halted") == 1 and problems(samples) == {"certificates", "quarantine"}
