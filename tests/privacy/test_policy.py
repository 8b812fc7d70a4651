"""The hospital's own privacy policy: what it does not grant cannot be spent."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, NoBudget, PublicCohort, grant, load_privacy_policy

GRANTED = {"unit": "patient", "epsilon": 8.0, "delta": 1e-3}


def write_policy(folder: Path, content: Any) -> Path:
    (folder / PRIVACY_FILE).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_policy_says_what_may_be_spent(tmp_path: Path) -> None:
    policy = load_privacy_policy(
        write_policy(tmp_path, {"schema_version": 1, "cohorts": {"hippocampus": GRANTED, "brain.2024_v-2": GRANTED}})
    )
    assert policy.budget("hippocampus").model_dump(exclude_none=True) == GRANTED
    assert policy.of("brain.2024_v-2") == CohortBudget.model_validate(GRANTED)


def test_a_hospital_can_decide_that_there_is_no_guarantee(tmp_path: Path) -> None:
    write_policy(tmp_path, {"schema_version": 1, "cohorts": {"demo": {"unit": "none"}}})
    assert load_privacy_policy(tmp_path).of("demo") == NoBudget()
    with pytest.raises(ConfigError, match=r"grants no budget for cohort 'demo': its unit is 'none'.*epsilon"):
        open_ledger(tmp_path, tmp_path, "demo")
    assert [file.name for file in tmp_path.iterdir()] == [PRIVACY_FILE]


def test_a_hospital_can_declare_cases_public(tmp_path: Path) -> None:
    write_policy(tmp_path, {"schema_version": 1, "cohorts": {"atlas": {"unit": "public"}, "own": GRANTED}})
    policy = load_privacy_policy(tmp_path)
    assert policy.of("atlas") == PublicCohort() and policy.budgets().keys() == {"own"}
    assert (policy.decided(PublicCohort), policy.decided(NoBudget)) == (["atlas"], [])
    with pytest.raises(ConfigError, match=r"grants no budget for cohort 'atlas': its unit is 'public'"):
        open_ledger(tmp_path, tmp_path, "atlas")


def test_a_cohort_without_a_policy_has_no_budget(tmp_path: Path) -> None:
    write_policy(tmp_path, {"schema_version": 1, "cohorts": {"hippocampus": GRANTED}})
    with pytest.raises(
        ConfigError, match=r"no entry for cohort 'liver' \(it has for: hippocampus\).*\"unit\": \"none\""
    ):
        open_ledger(tmp_path, tmp_path, "liver")
    write_policy(tmp_path, {"schema_version": 1})
    with pytest.raises(ConfigError, match="it has for: none"):
        open_ledger(tmp_path, tmp_path, "hippocampus")
    assert [file.name for file in tmp_path.iterdir()] == [PRIVACY_FILE]


def test_a_missing_policy_grants_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the site's privacy policy is missing"):
        open_ledger(tmp_path, tmp_path, "hippocampus")


def test_what_is_granted_is_written_for_the_owner_alone(tmp_path: Path) -> None:
    write_policy(tmp_path, {"schema_version": 1})
    budget = CohortBudget.model_validate(GRANTED)
    grant(tmp_path, "hippocampus", NoBudget())
    grant(tmp_path, "demo", NoBudget())
    grant(tmp_path, "hippocampus", budget)
    assert load_privacy_policy(tmp_path).cohorts == {"hippocampus": budget, "demo": NoBudget()}
    assert stat.S_IMODE((tmp_path / PRIVACY_FILE).stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [PRIVACY_FILE]


@pytest.mark.parametrize("content", ["{", {"schema_version": 1, "cohorts": {"a": GRANTED | {"epsilon": -1}}}])
def test_a_wrong_policy_is_not_written_over(tmp_path: Path, content: Any) -> None:
    before = (write_policy(tmp_path, content) / PRIVACY_FILE).read_bytes()
    with pytest.raises(ConfigError):
        grant(tmp_path, "hippocampus", NoBudget())
    assert (tmp_path / PRIVACY_FILE).read_bytes() == before


def test_nothing_is_granted_where_no_policy_or_no_name_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is missing"):
        grant(tmp_path, "hippocampus", NoBudget())
    write_policy(tmp_path, {"schema_version": 1})
    with pytest.raises(ConfigError, match="pattern"):
        grant(tmp_path, "../a", NoBudget())
    assert load_privacy_policy(tmp_path).cohorts == {}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "cannot be read as JSON"),
        ("[]", "top level"),
        ({"cohorts": {}}, "schema_version"),
        ({"schema_version": 2, "cohorts": {}}, "schema_version"),
        ({"schema_version": 1, "cohort": {}}, "cohort"),
        ('{"schema_version": 1, "cohorts": {"a": {"unit": "patient", "epsilon": NaN, "delta": 1e-3}}}', "NaN"),
        ('{"schema_version": 1, "cohorts": {"a": {"unit": "patient", "epsilon": 1e999, "delta": 1e-3}}}', "finite"),
        ({"schema_version": 1, "cohorts": {"a": GRANTED | {"epsilon": 0}}}, "greater than 0"),
        ({"schema_version": 1, "cohorts": {"a": GRANTED | {"delta": 0}}}, "greater than 0"),
        ({"schema_version": 1, "cohorts": {"a": GRANTED | {"delta": 1}}}, "less than 1"),
        ({"schema_version": 1, "cohorts": {"a": GRANTED | {"patients_at_least": 0}}}, "greater than or equal to 1"),
        (
            {"schema_version": 1, "cohorts": {"a": GRANTED | {"unit": "hospital", "patients_at_least": 9}}},
            "patients_at_least goes with unit 'patient'",
        ),
        ({"schema_version": 1, "cohorts": {"a": GRANTED | {"unit": "scan"}}}, "'patient', 'hospital', 'none'"),
        ({"schema_version": 1, "cohorts": {"a": {"epsilon": 8, "delta": 1e-3}}}, "unit"),
        ({"schema_version": 1, "cohorts": {"a": {}}}, "unit"),
        ({"schema_version": 1, "cohorts": {"a": None}}, "cohorts.a"),
        ({"schema_version": 1, "cohorts": {"a": GRANTED | {"unit": None}}}, "unit"),
        ({"schema_version": 1, "cohorts": {"a": GRANTED | {"unit": "none"}}}, "epsilon"),
        ({"schema_version": 1, "cohorts": {"a": GRANTED | {"rounds": 5}}}, "rounds"),
        ({"schema_version": 1, "cohorts": {"a": {"unit": "patient", "epsilon": 8}}}, "delta"),
        ({"schema_version": 1, "cohorts": {"../a": GRANTED}}, "pattern"),
        ({"schema_version": 1, "cohorts": {"": GRANTED}}, "pattern"),
        ({"schema_version": 1, "cohorts": {"a\n": GRANTED}}, "pattern"),
    ],
)
def test_a_wrong_policy_grants_nothing(tmp_path: Path, content: Any, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_privacy_policy(write_policy(tmp_path, content))
