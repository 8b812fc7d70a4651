"""The demo's hospitals describe their cohorts and decide what may leave, as hospital IT would."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.governance.consortium import Consortium
from fedvoxel.ops.demo_data import PUBLIC_CASES, DemoData, describe_cohorts, protected_hippocampus
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, NoBudget, PublicCohort, grant, load_privacy_policy
from fedvoxel.volumes.hippocampus import find_hippocampus
from fedvoxel.volumes.layouts import list_cases
from fedvoxel.volumes.site import CohortConfig
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


def test_a_protected_demo_keeps_its_public_cases_apart_and_grants_the_budget_of_one_run(
    data_folder: Path, tmp_path: Path
) -> None:
    folder = find_hippocampus(data_folder)
    assert folder is not None
    data = protected_hippocampus(folder, tmp_path, "hippocampus_dp_patient")
    assert data.jobs == ("hippocampus_public", "hippocampus_dp_patient") and data.protected
    assert data.decisions["hippocampus_public"] == PublicCohort()
    assert data.decisions["hippocampus"] == CohortBudget(unit="patient", epsilon=8, delta=0.002)
    for site in data.hospitals:
        own, public = (_cases(data.cohorts[name][site]) for name in ("hippocampus", "hippocampus_public"))
        assert len(public) == PUBLIC_CASES and own and not own & public
    again = protected_hippocampus(folder, tmp_path / "again", "hippocampus_dp_patient")
    assert [_cases(again.cohorts["hippocampus_public"][site]) for site in data.hospitals] == [
        _cases(data.cohorts["hippocampus_public"][site]) for site in data.hospitals
    ]


def _cases(cohort: Mapping[str, Any]) -> set[str]:
    described = parse_config(CohortConfig, dict(cohort), "the demo's cohort")
    return {files.case for files in list_cases(described, Path())}
