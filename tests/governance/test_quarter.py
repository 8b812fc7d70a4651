"""A quarter's report says what the signed part of the server's log says, and names what nobody can know."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.consortium_report import models_of
from fedvoxel.errors import ConfigError, LedgerError
from fedvoxel.export.trust import read_trust
from fedvoxel.federation.reader_study.answers import parse_answer
from fedvoxel.federation.reader_study.result import make_result
from fedvoxel.governance.audit_check import Line
from fedvoxel.governance.kit import open_kit
from fedvoxel.governance.quarter.activity import hospitals_in, runs_in, submitters
from fedvoxel.governance.quarter.found_results import find_results
from fedvoxel.governance.quarter.period import Quarter
from fedvoxel.governance.quarter.report import QuarterReport, Sources, report_of
from fedvoxel.records.atomic import write_json
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import Actor, AuditEvent
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.records.chain_entry import next_entry
from tests.federation.reader_study.test_answers import answer_values
from tests.governance.audited_logs import sha
from tests.governance.evidence_sample import JOB, LEAD, RUN, A, B, Sample, evidence_sample

THIRD, FOURTH = Quarter(2026, 3), Quarter(2026, 4)
SUMMER, AUTUMN = datetime(2026, 9, 30, 12, tzinfo=UTC), datetime(2026, 10, 1, 12, tzinfo=UTC)
NO_RESULTS = find_results(())


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [("2026-Q1", "2026-01-01", "2026-04-01"), ("2026-Q4", "2026-10-01", "2027-01-01")],
)
def test_a_quarter_ends_where_the_next_begins(name: str, since: str, until: str) -> None:
    quarter = Quarter.named(name)
    assert (f"{quarter.since:%Y-%m-%d}", f"{quarter.until:%Y-%m-%d}", str(quarter)) == (since, until, name)
    assert quarter.has(quarter.since) and not quarter.has(quarter.until)
    assert Quarter.of(quarter.since) == Quarter.of(quarter.until - timedelta(seconds=1)) == quarter


@pytest.mark.parametrize("name", ["2026-Q5", "2026Q4", "26-Q4", "2026-Q4 ", ""])
def test_what_is_no_quarter_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="such as 2026-Q4"):
        Quarter.named(name)


# ------------------------------------------------------------------ what the lines say


def lines(*said: tuple[datetime, AuditEvent]) -> list[Line]:
    made: list[Line] = []
    for at, event in said:
        made.append((next_entry(made[-1][0] if made else None, event.body(), at), event))
    return made


def event(kind: str, outcome: str, job: str = "job-1", run: str = "a_run", **values: Any) -> AuditEvent:
    return AuditEvent.model_validate({"kind": kind, "outcome": outcome, "job_id": job, "run_key": run, **values})


def both_quarters() -> list[Line]:
    """A run that begins in one quarter and ends in the next, in another attempt; and one that begins under its key."""
    return lines(
        (SUMMER, event("job", "done", actor=Actor(name="lead@x.example", role="lead"))),
        (SUMMER, event("run", "started")),
        (SUMMER, event("answer", "done", task="train", round=0, site=A, hashes={"update": sha(1)})),
        (SUMMER, event("answer", "missing", task="train", round=0, site=B)),
        (SUMMER, event("round", "done", round=0)),
        (AUTUMN, event("run", "resumed", "job-2")),
        (AUTUMN, event("answer", "done", "job-2", task="train", round=1, site=A, hashes={"update": sha(2)})),
        (AUTUMN, event("answer", "refused", "job-2", task="train", round=1, site=B)),
        (AUTUMN, event("answer", "missing", "job-2", task="test", site=B)),
        (AUTUMN, event("round", "done", "job-2", round=1)),
        (AUTUMN, event("run", "finished", "job-2", hashes={"outcome": sha(5)})),
        (AUTUMN, event("run", "started", "job-3")),
    )


def test_a_run_stands_in_each_quarter_as_it_stood_at_its_end() -> None:
    (before,) = runs_in(both_quarters(), THIRD)
    assert (before.status, before.rounds, before.jobs, before.ended, before.outcome) == (
        *("unfinished", 1, ["job-1"], None, None),
    )
    first, second = runs_in(both_quarters(), FOURTH)
    assert (first.status, first.rounds, first.jobs, first.began) == ("finished", 1, ["job-1", "job-2"], SUMMER)
    assert (first.ended, first.outcome) == (AUTUMN, sha(5))
    assert (second.status, second.rounds, second.jobs) == ("unfinished", 0, ["job-3"])
    assert submitters(both_quarters()) == {"job-1": "lead@x.example"}


def test_a_run_that_a_person_goes_on_with_has_not_ended() -> None:
    again = (*both_quarters()[:5],)
    failed = lines(
        *((datetime.fromisoformat(entry.at), told) for entry, told in again),
        (SUMMER, event("run", "failed", hashes={"outcome": sha(6)})),
        (AUTUMN, event("run", "resumed", "job-2")),
    )
    assert [(run.status, run.outcome) for run in runs_in(failed, THIRD)] == [("failed", sha(6))]
    assert [(run.status, run.outcome) for run in runs_in(failed, FOURTH)] == [("unfinished", None)]


def test_a_job_that_fails_before_it_begins_ends_no_run_that_has_ended() -> None:
    """Somebody submits a job of a finished run's name again, and it is refused."""
    again = [(datetime.fromisoformat(entry.at), told) for entry, told in both_quarters()[:-1]]
    first, second = runs_in(lines(*again, (AUTUMN, event("run", "failed", "job-9"))), FOURTH)
    assert (first.status, first.jobs, first.outcome) == ("finished", ["job-1", "job-2"], sha(5))
    assert (second.status, second.jobs) == ("failed", ["job-9"])


def test_who_only_evaluated_has_brought_no_update() -> None:
    scored = lines((AUTUMN, event("answer", "done", task="train", round=0, site=A)))
    assert hospitals_in(scored, FOURTH)[A].updates == 0


def test_a_hospitals_updates_count_in_the_quarter_in_which_they_came() -> None:
    before, after = hospitals_in(both_quarters(), THIRD), hospitals_in(both_quarters(), FOURTH)
    assert (before[A].updates, before[B].missing, before[B].runs) == (1, 1, set())
    assert (after[A].updates, after[B].missing, after[B].refused, after[A].runs) == (1, 0, 1, {"a_run"})


# ------------------------------------------------------------------ the whole, from a kit


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    """The run's outcome lies in the server's state, as in a real one."""
    made = evidence_sample(tmp_path)
    place = made.server / "state" / "runs" / RUN / "outcome.json"
    place.parent.mkdir(parents=True)
    place.write_bytes((made.run / "workspace" / "outcome.json").read_bytes())
    return made


def made(sample: Sample, results: Sequence[Path] = (), index: bool = True) -> QuarterReport:
    now, trust = datetime.now(UTC), read_trust(sample.server)
    models = models_of(sample.index, trust, sample.index.parent / "seen.json") if index else None
    sources = Sources(open_kit(sample.server), trust, models, find_results(results), now)
    return report_of(sources, Quarter.of(now))


def report_file(folder: Path, job: str = JOB) -> Path:
    gains = [
        {"site": A, "against": against, "class_name": name, "verdict": "gained", "sentence": f"{A} gained."}
        for against, name in (("local", None), ("local", "cord"), ("pooled", None))
    ]
    write_json(folder / "report" / "report.json", {"gains": gains, "run": {"job_id": job}})
    return folder


def test_runs_hospitals_models_and_costs_are_those_of_the_artefacts(sample: Sample, tmp_path: Path) -> None:
    told = made(sample, [report_file(tmp_path / "downloads" / JOB)])
    (run,) = told.runs
    assert (run.run_key, run.submitted_by, run.status, run.rounds) == (RUN, (LEAD,), "finished", 1)
    assert run.cost and (run.cost.bytes_up, run.cost.bytes_down) == (61_440, 122_880)
    assert run.cost.hours == pytest.approx(3 * 7.5 / 3600) and "no formal guarantee" in run.cost.privacy
    assert [(one.name, one.updates) for one in told.hospitals] == [(A, 1), (B, 1)]
    assert [gain.sentence for gain in told.hospitals[0].gains] == [f"{A} gained."] and not told.hospitals[1].gains
    assert told.models and [(one.state, one.by.split()[0]) for one in told.models] == [("released", LEAD)]
    assert told.not_known == (f"what the {told.log_entries - told.log_signed_for} newest entries of the server's log "
                              "say: no hospital has signed for them yet",)  # fmt: skip


def test_what_is_not_signed_for_does_not_count(sample: Sample) -> None:
    AuditLog(sample.server / "state").record([event("run", "started", "job-9", "unsigned")])
    assert [run.run_key for run in made(sample).runs] == [RUN]


def test_an_outcome_that_the_log_does_not_name_costs_nothing_that_is_said(sample: Sample) -> None:
    place = sample.server / "state" / "runs" / RUN / "outcome.json"
    place.write_text(place.read_text().replace("20480", "20481"))
    told = made(sample, index=False)
    assert told.runs[0].cost is None and told.models is None
    said = " ".join(told.not_known)
    assert f"what {RUN} cost" in said and "--releases" in said and "--baseline" in said


def test_a_report_of_another_quarters_run_is_not_used(sample: Sample, tmp_path: Path) -> None:
    told = made(sample, [report_file(tmp_path / "other", "another job")])
    assert not any(one.gains for one in told.hospitals)


def test_a_reader_study_counts_where_the_log_names_it(sample: Sample, tmp_path: Path) -> None:
    answer = parse_answer(answer_values(), A)
    study = make_result("outlines", answer.package, {A: answer}, {})
    place = tmp_path / "study" / "workspace" / "reader_study.json"
    write_json(place, study.model_dump(mode="json"))
    results = find_results([tmp_path / "study"])
    now = datetime.now(UTC)
    named = lines((now, event("run", "finished", run="", hashes={"outcome": sha256_of_file(place)})))
    assert study.pooled
    (reading,) = results.readings_in(named, Quarter.of(now))
    assert (reading.study, reading.cases, reading.hospitals) == ("outlines", study.pooled.cases, 1)
    assert not list(results.readings_in(named, Quarter(2020, 1))) and not made(sample, [tmp_path / "study"]).readings


@pytest.mark.parametrize("content", ["{}", "[]", '{"gains": [{}], "run": {"job_id": "x"}}', "no JSON", '{"gains": 3}'])
def test_a_file_that_is_no_report_is_said_and_not_used(content: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(content)
    found = find_results([tmp_path, tmp_path / "nothing"])
    assert not found.gains and len(found.objections) == 2
    assert "report.json" in found.objections[0] and "neither" in found.objections[1]


def test_a_log_that_cannot_be_trusted_gives_no_report(sample: Sample) -> None:
    log = sample.server / "state" / "audit" / "audit.jsonl"
    log.write_text(log.read_text().replace('"finished"', '"failed"'))
    with pytest.raises(LedgerError, match="cannot be trusted"):
        made(sample)


def test_another_kit_is_refused(sample: Sample) -> None:
    kit, now = open_kit(sample.kit(A)), datetime.now(UTC)
    with pytest.raises(ConfigError, match="expected the server's kit"):
        report_of(Sources(kit, read_trust(sample.kit(A)), None, NO_RESULTS, now), Quarter.of(now))


def test_the_report_is_plain_json(sample: Sample) -> None:
    told = made(sample)
    assert QuarterReport.model_validate(json.loads(told.model_dump_json())) == told
