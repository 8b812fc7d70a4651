"""A site is told, before any job, of each cohort whether it has decided what may leave about it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from fedvoxel.governance.cohort_policy import check_cohort_policy
from fedvoxel.governance.finding import Finding
from fedvoxel.governance.kit import Kit
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, NoBudget, PublicCohort, grant

Copy = Callable[[str], Kit]


def only(findings: list[Finding]) -> Finding:
    (found,) = findings
    assert found.topic == "policy" and "\n" not in found.message
    return found


def test_what_is_decided_is_said_cohort_by_cohort(kit: Copy) -> None:
    site = kit("hospital-a")
    grant(site.local, "demo", NoBudget())
    grant(site.local, "hippocampus", CohortBudget(unit="patient", epsilon=8, delta=1e-4))
    grant(site.local, "atlas", PublicCohort())
    found = check_cohort_policy(site, ["demo", "hippocampus", "atlas"])
    assert {finding.level for finding in found} == {"ok"}
    assert "demo: no formal guarantee" in found[0].message
    assert "hippocampus: epsilon 8.0 and delta 0.0001 per patient" in found[1].message
    assert "atlas: declared public" in found[2].message


def test_a_new_kit_without_cohorts_is_in_order(kit: Copy) -> None:
    assert check_cohort_policy(kit("hospital-a"), []) == []


def test_a_cohort_without_an_entry_is_an_error_that_says_what_to_write(kit: Copy) -> None:
    site = kit("hospital-a")
    grant(site.local, "demo", NoBudget())
    said = only(check_cohort_policy(site, ["liver"]))
    assert said.level == "error"
    for words in ("'liver'", "it has for: demo", '{"unit": "none"}', '"unit": "patient"', f"local/{PRIVACY_FILE}"):
        assert words in said.message


@pytest.mark.parametrize("cohorts", [[], ["demo"]])
def test_a_missing_policy_is_an_error(kit: Copy, cohorts: list[str]) -> None:
    site = kit("hospital-a")
    (site.local / PRIVACY_FILE).unlink()
    said = only(check_cohort_policy(site, cohorts))
    assert said.level == "error" and "is missing" in said.message and "fedvoxel site init" in said.message


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "cannot be read as JSON"),
        ("\xff", "cannot be read as JSON"),
        ({"schema_version": 1, "cohorts": {"demo": {"unit": "scan"}}}, "'patient', 'hospital', 'none'"),
        ({"schema_version": 1, "cohorts": {"demo": {"unit": "patient"}}}, "epsilon"),
        ({"cohorts": {"demo": {"unit": "none"}}}, "schema_version"),
    ],
)
def test_a_policy_that_cannot_be_read_is_an_error(kit: Copy, content: Any, complaint: str) -> None:
    site = kit("hospital-a")
    written = content if isinstance(content, str) else json.dumps(content)
    (site.local / PRIVACY_FILE).write_text(written, encoding="latin-1")
    said = only(check_cohort_policy(site, ["demo"]))
    assert said.level == "error" and complaint in said.message


def test_a_folder_in_its_place_is_an_error(kit: Copy) -> None:
    site = kit("hospital-a")
    (site.local / PRIVACY_FILE).unlink()
    (site.local / PRIVACY_FILE).mkdir()
    assert only(check_cohort_policy(site, ["demo"])).level == "error"
