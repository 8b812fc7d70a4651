"""Over real processes: one command stops all jobs, at the server or at a site; a site in quarantine has no part."""

import json
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare.round_journal import RoundJournal
from fedvoxel.governance.incidents.switches import QUARANTINED

from .conftest import SITES, SystemUnderTest, job_variant, trainers_of, wait_until

pytestmark = pytest.mark.slow

ADMIN, IT = "admin@consortium.example", "it@hospital-a.example"
LONG = {"rounds_section": {"min_sites": 2, "evaluate": False}, "epochs": 8}
Captured = pytest.CaptureFixture[str]


def incident(system: SystemUnderTest, who: str, at: str, verb: str, *words: str) -> None:
    """Gives one command of an incident's."""
    kit = system.running.consortium.record.server if at == "server" else at
    signed = ["--sign", str(system.kit(who)), "--text", "a drill"]
    assert main(["incident", verb, str(system.kit(kit)), *words, *signed]) == 0


def declare(system: SystemUnderTest, who: str, at: str, capsys: Captured, *words: str) -> str:
    """Declares an incident and returns its name."""
    capsys.readouterr()
    incident(system, who, at, "declare", "--kind", "intrusion", "--severity", "high", "--json", *words)
    return str(json.loads(capsys.readouterr().out)["incident"])


def wait_for_round(system: SystemUnderTest, run_key: str, index: int) -> None:
    """Waits until rounds up to this one are committed."""

    def committed() -> bool:
        entry = RoundJournal(system.state("server", run_key) / "journal").read()
        return entry is not None and entry.committed > index

    wait_until(committed, 120, f"round {index} is committed")


def in_state(system: SystemUnderTest, run_key: str) -> RunOutcome:
    """Returns a run's outcome from the server's state."""
    return load_outcome(system.state("server", run_key) / OUTCOME_FILE)


def test_all_jobs_stop_at_the_server_and_the_run_goes_on_later(
    system: SystemUnderTest, tmp_path: Path, capsys: Captured
) -> None:
    job = job_variant(tmp_path, "halted_run", 6, **LONG)
    job_id = system.submit(job)
    wait_for_round(system, "halted_run", 0)
    name = declare(system, ADMIN, "server", capsys, "--halt")
    wait_until(lambda: system.ended(job_id), 30, "the job has ended")
    stopped = in_state(system, "halted_run")
    assert stopped.status == "aborted" and "for an incident" in str(stopped.reason)
    wait_until(lambda: not any(trainers_of(system.kit(site)) for site in SITES), 30, "no site trains any more")

    again = system.submit(job)
    with pytest.raises(pytest.fail.Exception):
        wait_until(lambda: system.meta(again)["status"] != "SUBMITTED", 15, "it is started")
    incident(system, ADMIN, "server", "lift", name)
    system.wait(again)
    finished = system.outcome(again)
    assert (finished.status, finished.rounds_committed, len(finished.attempts)) == ("finished", 6, 2)
    incident(system, ADMIN, "server", "close", name)


def test_a_hospital_stops_all_jobs_and_the_others_go_on(
    system: SystemUnderTest, tmp_path: Path, capsys: Captured
) -> None:
    job_id = system.submit(job_variant(tmp_path, "halted_site", 4, **LONG))
    wait_for_round(system, "halted_site", 0)
    name = declare(system, IT, "hospital-a", capsys, "--halt")
    wait_until(lambda: not trainers_of(system.kit("hospital-a")), 20, "its trainer has ended")
    system.wait(job_id)
    outcome = system.outcome(job_id)
    assert outcome.status == "finished" and set(outcome.rounds[-1].contributed) == set(SITES) - {"hospital-a"}
    declined = system.submit(job_variant(tmp_path, "not_taken", 1, **LONG))
    system.wait(declined)
    assert "hospital-a" not in system.outcome(declined).rounds[0].contributed
    incident(system, IT, "hospital-a", "lift", name)
    taken = system.run(job_variant(tmp_path, "taken_again", 1, **LONG))
    assert set(taken.rounds[0].contributed) == set(SITES)
    incident(system, IT, "hospital-a", "close", name)


def test_a_site_in_quarantine_has_no_part_until_it_is_let_in(
    system: SystemUnderTest, tmp_path: Path, capsys: Captured
) -> None:
    job_id = system.submit(job_variant(tmp_path, "quarantine", 8, **LONG))
    wait_for_round(system, "quarantine", 0)
    name = declare(system, ADMIN, "server", capsys)
    incident(system, ADMIN, "server", "quarantine", name, "hospital-b")
    out = RoundJournal(system.state("server", "quarantine") / "journal").read()
    assert out
    wait_for_round(system, "quarantine", out.committed + 1)
    incident(system, ADMIN, "server", "release", name, "hospital-b")
    system.wait(job_id)
    outcome = system.outcome(job_id)
    without = [record.round for record in outcome.rounds if "hospital-b" not in record.contributed]
    assert outcome.status == "finished" and without and without == list(range(without[0], without[-1] + 1))
    assert {outcome.rounds[index].missing["hospital-b"] for index in without} == {QUARANTINED}
    assert "hospital-b" in outcome.rounds[0].contributed and "hospital-b" in outcome.rounds[-1].contributed
    incident(system, ADMIN, "server", "close", name)
