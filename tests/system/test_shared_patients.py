"""Patients in two protected cohorts of a hospital, over real processes: a run on one is charged to both ledgers."""

from pathlib import Path

import pytest

from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.policy import CohortBudget, NoBudget, grant

from .conftest import SITES, SystemUnderTest, job_variant
from .test_private_job import private_job
from .tiny_cohorts import describe_cohort, of_others

TRAINED, OTHER = "shared_one", "shared_two"


@pytest.mark.slow
def test_a_run_on_one_cohort_is_charged_to_the_other_and_refused_once_the_other_is_open(
    system: SystemUnderTest, cohort_rows: dict[str, list[str]], tmp_path: Path
) -> None:
    for site in SITES:
        kit = system.kit(site)
        rows = of_others(kit / "local", cohort_rows[site], TRAINED)
        for cohort, listed in ((TRAINED, rows), (OTHER, rows[:1])):
            describe_cohort(kit, cohort, listed)
            grant(kit / "local", cohort, CohortBudget(unit="patient", epsilon=100, delta=1e-2))

    outcome = system.run(private_job(tmp_path, "two_cohorts_run", TRAINED))

    assert outcome.status == "finished", outcome.reason
    rounds = len(outcome.rounds)
    for site in SITES:
        kit = system.kit(site)
        trained, other = (open_ledger(kit / "local", kit / "state", cohort) for cohort in (TRAINED, OTHER))
        assert trained.status().spent_epsilon == other.status().spent_epsilon > 0
        assert [(run.drawn, run.kept, run.sent) for run in trained.status().runs] == [(rounds, rounds, rounds)]
        assert [(run.drawn, run.kept, run.sent) for run in other.status().runs] == [(rounds, 0, 0)]
        grant(kit / "local", OTHER, NoBudget())

    for name, job in (
        ("the open one", job_variant(tmp_path, "open_run", 1, cohort=OTHER)),
        ("the protected one", private_job(tmp_path, "hollow_run", TRAINED)),
    ):
        job_id = system.submit(job)
        system.wait(job_id)
        refused = system.outcome(job_id)
        assert refused.status == "failed" and refused.reason, name
        assert "do not go together" in refused.reason or "declined" in refused.reason, name
        for site in SITES:
            assert not (system.kit(site) / job_id / "trainer.log").exists(), "a trainer has seen the scans"
