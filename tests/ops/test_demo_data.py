"""The demo's hospitals describe their cohorts and decide what may leave, as hospital IT would."""

import json
from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.governance.consortium import Consortium
from fedvoxel.ops.demo_data import DemoData, describe_cohorts
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, NoBudget, grant, load_privacy_policy
from tests.consortium_kits import small_consortium

SITES = {"hospital-a": {"source": 1}, "hospital-b": {"source": 2}}
DATA = DemoData(("a_job",), "consortium.yml", {"demo": SITES}, {"demo": NoBudget()})
BUDGET = CohortBudget(unit="patient", epsilon=8, delta=1e-4)


@pytest.fixture
def consortium(tmp_path: Path) -> Consortium:
    return small_consortium(tmp_path)


def test_demo_data_may_leave_without_a_guarantee(consortium: Consortium) -> None:
    describe_cohorts(consortium, DATA, threads=1)
    for site, cohort in SITES.items():
        local = consortium.kit(site) / "local"
        assert json.loads((local / "fedvoxel_site.json").read_text())["cohorts"] == {"demo": cohort}
        assert load_privacy_policy(local).cohorts == {"demo": NoBudget()}


def test_a_budget_that_is_there_stays(consortium: Consortium) -> None:
    local = consortium.kit("hospital-a") / "local"
    grant(local, "demo", BUDGET)
    describe_cohorts(consortium, DATA, threads=1)
    assert load_privacy_policy(local).of("demo") == BUDGET


def test_a_missing_policy_is_not_made_up(consortium: Consortium) -> None:
    (consortium.kit("hospital-a") / "local" / PRIVACY_FILE).unlink()
    with pytest.raises(ConfigError, match="is missing"):
        describe_cohorts(consortium, DATA, threads=1)
