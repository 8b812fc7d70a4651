"""A job that asks some of the sites and finds out what their updates are worth, over real processes."""

from pathlib import Path

import pytest

from fedvoxel.evaluation.credit.account import account_of

from .conftest import SystemUnderTest, job_variant


@pytest.mark.slow
def test_some_sites_are_asked_and_each_update_gets_its_worth(system: SystemUnderTest, tmp_path: Path) -> None:
    section = {
        "selection": {"name": "oort", "fraction": 0.5, "most_rounds_left_out": 1, "exploration": 0.5},
        "contribution": {"method": "leave_one_out"},
    }
    outcome = system.run(job_variant(tmp_path, "chosen", 3, rounds_section=section))
    assert (outcome.status, outcome.rounds_committed, outcome.best_round) == ("finished", 3, 2), outcome.reason
    sites = set(outcome.sites)
    for record in outcome.rounds:
        asked = set(record.contributed)
        assert len(asked) >= 2 and asked | set(record.not_selected) == sites and not record.missing
        assert record.contribution and set(record.contribution.values) == asked
        assert record.contribution.evaluations == len(asked) + 1
        assert record.contribution.without == record.contribution.values and record.contribution.bytes_down > 0
        seen = record.contribution.resemblance
        assert seen and set(seen.norms) == asked and min(seen.norms.values()) > 0
        assert bool(seen.last_step) == (record.round > 0) and len(seen.pairs) == len(seen.paths) == len(asked) - 1
    account = account_of(outcome)
    assert {credit.site for credit in account.sites} == sites and "free rider" not in {
        one.kind for one in account.flags
    }
    assert {site for record in outcome.rounds for site in record.contributed} == sites
