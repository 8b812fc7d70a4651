"""A job that protects each patient, over real processes: one hospital's budget ends before the run does."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import CohortBudget, grant
from fedvoxel.privacy.spending import planned_epsilon

from .conftest import SITES, SystemUnderTest, job_variant
from .tiny_cohorts import describe_cohort

COHORT = "protected"
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


def private_job(folder: Path, run_key: str) -> Path:
    """Writes a small job under the privacy section and returns its folder."""
    job = job_variant(folder, run_key, ROUNDS, cohort=COHORT, rounds_section={"evaluate": False, "min_sites": 2})
    for name, component in (("server", ["workflows", 0]), ("client", ["executors", 0, "executor"])):
        path = job / f"app/config/config_fed_{name}.json"
        document: Any = json.loads(path.read_text())
        part = document
        for key in component:
            part = part[key]
        part["args"]["privacy"] = PRIVACY
        path.write_text(json.dumps(document))
    return job


def protect(system: SystemUnderTest, rows: dict[str, list[str]], epsilons: dict[str, float]) -> None:
    """Describes the protected cohort at each site and grants it a budget."""
    for site, epsilon in epsilons.items():
        describe_cohort(system.kit(site), COHORT, rows[site])
        grant(system.kit(site) / "local", COHORT, CohortBudget(unit="patient", epsilon=epsilon, delta=1e-3))


def plan(draws: int) -> RunPlan:
    event = GaussianEvent(noise_multiplier=2.0, sampling_probability=0.5, count=2)
    return RunPlan(unit="patient", event=event, draws=draws, delta=1e-3)


@pytest.mark.slow
def test_a_hospital_serves_as_many_rounds_as_its_budget_covers(
    system: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    costs = {draws: planned_epsilon(plan(draws)) for draws in (2, 3, ROUNDS)}
    small = (costs[2] + costs[3]) / 2
    protect(system, cohort_rows, {site: small if site == SITES[0] else 100.0 for site in SITES})

    outcome = system.run(private_job(tmp_path, "protected_run"))

    assert outcome.status == "finished", outcome.reason
    assert [SITES[0] in one.contributed for one in outcome.rounds] == [True, True, False, False]
    assert all(set(SITES[1:]) <= set(one.contributed) for one in outcome.rounds)
    for one in outcome.rounds[2:]:
        assert "declined" in one.missing[SITES[0]] and "epsilon" not in one.missing[SITES[0]]
    assert f"{costs[ROUNDS]:.2f}"[:3] in outcome.privacy and "patient" in outcome.privacy
    _nothing_else_left(outcome)
    for site in SITES:
        kit = system.kit(site)
        ledger = open_ledger(kit / "local", kit / "state", COHORT)
        assert ledger.verify() == ()
        (run,) = ledger.status().runs
        draws = 2 if site == SITES[0] else ROUNDS
        assert (run.run_key, run.drawn, run.kept, run.sent) == ("protected_run", draws, draws, draws)
        assert ledger.status().spent_epsilon == pytest.approx(costs[draws])


@pytest.mark.slow
def test_a_protected_cohort_is_not_trained_on_by_a_job_without_privacy(
    system: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    protect(system, cohort_rows, dict.fromkeys(SITES, 8.0))
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
