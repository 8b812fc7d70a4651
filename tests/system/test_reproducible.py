"""The same job gives the same model, whatever the order in which the sites' updates arrive."""

from pathlib import Path

import pytest

from .conftest import SITES, SystemUnderTest, job_variant


@pytest.mark.slow
def test_the_same_job_twice_gives_the_same_model(system: SystemUnderTest, tmp_path: Path) -> None:
    outcomes = [system.run(job_variant(tmp_path, run_key, rounds=3)) for run_key in ("once", "again")]
    for outcome in outcomes:
        assert (outcome.status, outcome.rounds_committed) == ("finished", 3)
        assert all(set(record.contributed) == set(SITES) for record in outcome.rounds)
    first, second = outcomes
    assert first.model and second.model and first.model.sha256 == second.model.sha256
    assert [record.validation for record in first.rounds] == [record.validation for record in second.rounds]
    assert first.test == second.test
