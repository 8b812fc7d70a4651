"""The hospital's own privacy policy: what it does not grant cannot be spent."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.policy import PRIVACY_FILE, load_privacy_policy

GRANTED = {"unit": "patient", "epsilon": 8.0, "delta": 1e-3}


def write_policy(folder: Path, content: Any) -> Path:
    (folder / PRIVACY_FILE).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_a_policy_says_what_may_be_spent(tmp_path: Path) -> None:
    policy = load_privacy_policy(
        write_policy(tmp_path, {"schema_version": 1, "cohorts": {"hippocampus": GRANTED, "brain.2024_v-2": GRANTED}})
    )
    assert policy.budget("hippocampus").model_dump() == GRANTED


def test_a_cohort_without_a_policy_has_no_budget(tmp_path: Path) -> None:
    write_policy(tmp_path, {"schema_version": 1, "cohorts": {"hippocampus": GRANTED}})
    with pytest.raises(ConfigError, match=r"grants no budget for cohort 'liver' \(it does for: hippocampus\)"):
        open_ledger(tmp_path, tmp_path, "liver")
    write_policy(tmp_path, {"schema_version": 1})
    with pytest.raises(ConfigError, match="it does for: none"):
        open_ledger(tmp_path, tmp_path, "hippocampus")
    assert [file.name for file in tmp_path.iterdir()] == [PRIVACY_FILE]


def test_a_missing_policy_grants_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the site's privacy policy is missing"):
        open_ledger(tmp_path, tmp_path, "hippocampus")


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
        ({"schema_version": 1, "cohorts": {"a": GRANTED | {"unit": "scan"}}}, "'patient' or 'hospital'"),
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
