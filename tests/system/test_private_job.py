"""Jobs that protect each patient, or each hospital, over real processes: one budget ends before the run does."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.guarantee import PrivacyUnit
from fedvoxel.privacy.in_sums import InSums
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import CohortBudget, grant
from fedvoxel.privacy.reconcile import RunMatch, reconcile, site_releases
from fedvoxel.privacy.server_record import verify_server
from fedvoxel.privacy.spending import planned_epsilon

from .conftest import ROOT, SITES, SystemUnderTest, job_variant, wait_until
from .tiny_cohorts import describe_cohort, of_others

COHORT, WHOLE = "protected", "whole"
ROUNDS = 4
PRIVACY = {
    "unit": "patient",
    "clip_norm": 0.5,
    "noise_multiplier": 2.0,
    "sampling_probability": 0.5,
    "steps_per_round": 2,
    "delta": 1e-3,
    "expected_batch": 2.5,
}
HOSPITAL_PRIVACY = {"unit": "hospital", "clip_norm": 0.5, "noise_multiplier": 3.0, "sites": 3, "delta": 1e-3}


def private_job(folder: Path, run_key: str, cohort: str = COHORT, section: dict[str, Any] = PRIVACY) -> Path:
    """Writes a small job under the privacy section and returns its folder."""
    job = job_variant(folder, run_key, ROUNDS, cohort=cohort, rounds_section={"evaluate": False, "min_sites": 2})
    for name, component in (("server", ["workflows", 0]), ("client", ["executors", 0, "executor"])):
        path = job / f"app/config/config_fed_{name}.json"
        document: Any = json.loads(path.read_text())
        part = document
        for key in component:
            part = part[key]
        part["args"]["privacy"] = section
        path.write_text(json.dumps(document))
    return job


def protect(system: SystemUnderTest, rows: dict[str, list[str]], epsilons: dict[str, float], cohort: str) -> None:
    """Describes the protected cohort at each site and grants it a budget."""
    unit: PrivacyUnit = "patient" if cohort == COHORT else "hospital"
    for site, epsilon in epsilons.items():
        kit = system.kit(site)
        describe_cohort(kit, cohort, of_others(kit / "local", rows[site], cohort))
        grant(kit / "local", cohort, CohortBudget(unit=unit, epsilon=epsilon, delta=1e-3))


def plan(draws: int, section: dict[str, Any] = PRIVACY) -> RunPlan:
    event = GaussianEvent(
        noise_multiplier=section["noise_multiplier"],
        sampling_probability=section.get("sampling_probability", 1.0),
        count=section.get("steps_per_round", 1),
    )
    return RunPlan(unit=section["unit"], event=event, draws=draws, delta=1e-3)


def only(job: Path, sites: tuple[str, ...]) -> Path:
    """Sends a job to the server and these sites alone."""
    path = job / "meta.json"
    meta = json.loads(path.read_text())
    meta |= {"deploy_map": {"app": ["server", *sites]}, "min_clients": len(sites)}
    path.write_text(json.dumps(meta))
    return job


def check_ledgers(system: SystemUnderTest, run_key: str, draws: dict[str, int], epsilon: dict[int, float]) -> None:
    """Fails unless the server's ledger and each site's verify, hold the run with so many draws, and add up."""
    server = verify_server(system.kit(system.running.consortium.record.server) / "state")
    assert server.problems == ()
    for site, drawn in draws.items():
        kit = system.kit(site)
        found = reconcile(server, site, site_releases(kit / "state"))
        assert found.problems == ()
        assert RunMatch(run_key, drawn, drawn) in found.runs
        cohort = COHORT if run_key == "protected_run" else WHOLE
        ledger = open_ledger(kit / "local", kit / "state", cohort)
        assert ledger.verify() == ()
        (run,) = ledger.status().runs
        assert (run.run_key, run.drawn, run.kept, run.sent) == (run_key, drawn, drawn, drawn)
        assert ledger.status().spent_epsilon == pytest.approx(epsilon[drawn])


@pytest.mark.slow
def test_a_hospital_serves_as_many_rounds_as_its_budget_covers(
    system: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    costs = {draws: planned_epsilon(plan(draws)) for draws in (2, 3, ROUNDS)}
    small = (costs[2] + costs[3]) / 2
    protect(system, cohort_rows, {site: small if site == SITES[0] else 100.0 for site in SITES}, COHORT)

    outcome = system.run(private_job(tmp_path, "protected_run"))

    assert outcome.status == "finished", outcome.reason
    assert [SITES[0] in one.contributed for one in outcome.rounds] == [True, True, False, False]
    assert all(set(SITES[1:]) <= set(one.contributed) for one in outcome.rounds)
    for one in outcome.rounds[2:]:
        assert "declined" in one.missing[SITES[0]] and "epsilon" not in one.missing[SITES[0]]
    assert f"{costs[ROUNDS]:.2f}"[:3] in outcome.privacy and "patient" in outcome.privacy
    _nothing_else_left(outcome)
    check_ledgers(system, "protected_run", {site: 2 if site == SITES[0] else ROUNDS for site in SITES}, costs)


@pytest.mark.slow
def test_three_hospitals_protected_as_a_whole_and_one_of_them_leaves_early(
    system: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    costs = {draws: planned_epsilon(plan(draws, HOSPITAL_PRIVACY)) for draws in (2, 3, ROUNDS)}
    small, three = (costs[2] + costs[3]) / 2, SITES[:3]
    protect(system, cohort_rows, {site: small if site == SITES[0] else 100.0 for site in three}, WHOLE)

    outcome = system.run(only(private_job(tmp_path, "whole_run", WHOLE, HOSPITAL_PRIVACY), three))

    assert outcome.status == "finished", outcome.reason
    assert outcome.sites == three and outcome.guarantee and outcome.guarantee.unit == "hospital"
    assert outcome.guarantee.epsilon == pytest.approx(costs[ROUNDS])
    assert [SITES[0] in one.contributed for one in outcome.rounds] == [True, True, False, False]
    assert all(set(three[1:]) <= set(one.contributed) for one in outcome.rounds)
    for one in outcome.rounds[2:]:
        assert "declined" in one.missing[SITES[0]] and "epsilon" not in one.missing[SITES[0]]
    _nothing_else_left(outcome)
    check_ledgers(system, "whole_run", {site: 2 if site == SITES[0] else ROUNDS for site in three}, costs)
    server = verify_server(system.kit(system.running.consortium.record.server) / "state")
    run = server.runs["whole_run"]
    assert [one.round for one in run.released] == list(range(ROUNDS)), "each round once"
    assert outcome.model and run.released[-1].sha256 == outcome.model.sha256

    again = system.submit(only(private_job(tmp_path / "again", "whole_run", WHOLE, HOSPITAL_PRIVACY), three))
    system.wait(again)
    assert "this very job had finished before" in str(system.outcome(again).reason)
    check_ledgers(system, "whole_run", {site: 2 if site == SITES[0] else ROUNDS for site in three}, costs)


@pytest.mark.slow
def test_noised_updates_travel_encoded_and_both_ledgers_have_the_same_bytes(
    system: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    protect(system, cohort_rows, dict.fromkeys(SITES, 100.0), COHORT)
    for site in SITES:
        # Room for the delta of this file's other runs.
        grant(system.kit(site) / "local", COHORT, CohortBudget(unit="patient", epsilon=100.0, delta=1e-2))
    job = private_job(tmp_path, "encoded_run")
    path = job / "app/config/config_fed_server.json"
    document = json.loads(path.read_text())
    document["workflows"][0]["args"]["rounds"]["compression"] = {"up": {"name": "int8"}, "down": {"name": "int8"}}
    path.write_text(json.dumps(document))
    outcome = system.run(job)
    assert (outcome.status, outcome.rounds_committed) == ("finished", ROUNDS), outcome.reason
    _nothing_else_left(outcome)
    assert all(set(one.contributed) == set(SITES) and one.codecs for one in outcome.rounds)
    assert outcome.guarantee and outcome.guarantee.epsilon == pytest.approx(planned_epsilon(plan(ROUNDS)))
    server = verify_server(system.kit(system.running.consortium.record.server) / "state")
    for site in SITES:
        found = reconcile(server, site, site_releases(system.kit(site) / "state"))
        assert found.problems == () and RunMatch("encoded_run", ROUNDS, ROUNDS) in found.runs


@pytest.mark.slow
def test_a_protected_cohort_is_not_trained_on_by_a_job_without_privacy(
    system: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    protect(system, cohort_rows, dict.fromkeys(SITES, 8.0), COHORT)
    job_id = system.submit(job_variant(tmp_path, "unprotected_run", 1, cohort=COHORT))
    system.wait(job_id)
    outcome = system.outcome(job_id)
    assert outcome.status == "failed" and outcome.reason and "declined" in outcome.reason
    for site in SITES:
        assert not (system.kit(site) / job_id / "trainer.log").exists(), "a trainer has seen the scans"


def _nothing_else_left(outcome: Any) -> None:
    assert outcome.test == {} and outcome.refused_cases == {} and outcome.best_round is None
    for one in outcome.rounds:
        assert one.loss == {} and one.validation == {}
        assert set(one.contributed.values()) == {1}, "a site's number of cases is a patient's secret"


SHARED = PRIVACY | {"steps_per_round": 1, "shared_noise": {"sites": 4, "colluders": 1, "dropouts": 1}}
MASKED_SUMS = {"secure_aggregation": {"dropouts": 1, "least_sites": 3}, "min_sites": 3}


def masked_job(folder: Path, run_key: str, cohort: str, section: dict[str, Any]) -> Path:
    """A private job whose server sees sums only; with shared noise the server takes the step."""
    job = private_job(folder, run_key, cohort, section)
    path = job / "app/config/config_fed_client.json"
    document = json.loads(path.read_text())
    document["executors"][0]["tasks"] = list(read_job_folder(ROOT / "jobs" / "hippocampus_secure").executor.tasks)
    if section["unit"] == "patient":
        for key in ("optimizer", "schedule"):
            del document["executors"][0]["executor"]["args"]["training"][key]
    path.write_text(json.dumps(document))
    path = job / "app/config/config_fed_server.json"
    document = json.loads(path.read_text())
    document["workflows"][0]["args"]["rounds"] |= MASKED_SUMS
    path.write_text(json.dumps(document))
    return job


@pytest.mark.slow
def test_hospitals_share_the_noise_of_a_sum_and_one_is_lost_in_a_round(
    system: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    protect(system, cohort_rows, dict.fromkeys(SITES, 100.0), COHORT)
    refused = system.run(masked_job(tmp_path, "shared_refused", COHORT, SHARED))
    assert refused.status == "failed", "no hospital has said that its noise may be shared"
    for site in SITES:
        # Room for the delta of this file's other runs.
        budget = CohortBudget(unit="patient", epsilon=100.0, delta=1e-2, in_sums=InSums(least_sites=3, partners=SITES))
        grant(system.kit(site) / "local", COHORT, budget)
    job_id = system.submit(masked_job(tmp_path, "shared_run", COHORT, SHARED))
    kept = system.kit("hospital-d") / "state" / "privacy" / COHORT / "releases"
    before = len(list(kept.glob("*"))) if kept.is_dir() else 0
    wait_until(lambda: kept.is_dir() and len(list(kept.glob("*"))) > before + 1, 120, "the share of the second round")
    system.running.stop("hospital-d", abruptly=True)
    system.wait(job_id)
    outcome = system.outcome(job_id)
    assert (outcome.status, outcome.rounds_committed) == ("finished", ROUNDS), outcome.reason
    assert set(SITES[:3]) <= set(outcome.rounds[-1].contributed) and "hospital-d" in outcome.rounds[-1].missing
    _nothing_else_left(outcome)
    assert outcome.guarantee and "the server and any 1 of the 4 hospitals" in outcome.guarantee.said()
    assert outcome.guarantee.epsilon == pytest.approx(planned_epsilon(plan(ROUNDS, SHARED)))
    server = verify_server(system.kit(system.running.consortium.record.server) / "state")
    for site in SITES[:3]:
        found = reconcile(server, site, site_releases(system.kit(site) / "state"))
        assert found.problems == () and RunMatch("shared_run", ROUNDS, ROUNDS) in found.runs


@pytest.mark.slow
def test_the_server_adds_noise_to_a_sum_of_which_it_sees_no_part(
    system: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    protect(system, cohort_rows, dict.fromkeys(SITES, 100.0), WHOLE)
    for site in SITES:
        grant(system.kit(site) / "local", WHOLE, CohortBudget(unit="hospital", epsilon=100.0, delta=1e-2))
    outcome = system.run(masked_job(tmp_path, "masked_whole", WHOLE, HOSPITAL_PRIVACY | {"sites": 4}))
    assert (outcome.status, outcome.rounds_committed) == ("finished", ROUNDS), outcome.reason
    _nothing_else_left(outcome)
    assert outcome.guarantee and "secure aggregation holds" in outcome.guarantee.adversary
    server = verify_server(system.kit(system.running.consortium.record.server) / "state")
    assert [one.round for one in server.runs["masked_whole"].released] == list(range(ROUNDS))
    for site in SITES:
        assert reconcile(server, site, site_releases(system.kit(site) / "state")).problems == ()
