"""How many of a hospital's people must have approved a job, by its own file."""

from pathlib import Path

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.governance.approval_policy import (
    APPROVAL_FILE,
    ApprovalPolicy,
    load_approval_policy,
    write_approval_policy,
)


def policy(**values: object) -> ApprovalPolicy:
    return ApprovalPolicy.model_validate(values)


def test_a_cohort_may_ask_for_more_or_less_than_the_others() -> None:
    rule = policy(approvals=1, cohorts={"open": 0, "rare": 2})
    assert [rule.needed({name}, has_code=False) for name in ("open", "rare", "other")] == [0, 2, 1]
    assert rule.needed({"open", "other"}, has_code=False) == 1


def test_a_job_that_names_no_cohort_needs_what_the_strictest_needs() -> None:
    assert policy(approvals=0, cohorts={"rare": 2}).needed((), has_code=False) == 2
    assert policy().needed((), has_code=False) == 0


def test_code_is_never_taken_unseen() -> None:
    assert policy(code="approved").needed({"open"}, has_code=True) == 1
    assert policy(code="approved", cohorts={"rare": 2}).needed({"open"}, has_code=True) == 2


@pytest.mark.parametrize(
    "wrong", ["", "{}x", '{"schema_version": 1, "approvals": 3}', '{"approval": 1}', '{"code": "any"}']
)
def test_what_cannot_be_read_approves_nothing(tmp_path: Path, wrong: str) -> None:
    (tmp_path / APPROVAL_FILE).write_text(wrong)
    with pytest.raises(ConfigError):
        load_approval_policy(tmp_path)
    (tmp_path / APPROVAL_FILE).unlink()
    with pytest.raises(ConfigError, match="is missing"):
        load_approval_policy(tmp_path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rule = policy(approvals=2, cohorts={"rare": 1}, submitter_may_approve=False, code="approved")
    write_approval_policy(tmp_path, rule)
    assert load_approval_policy(tmp_path) == rule
    assert (tmp_path / APPROVAL_FILE).stat().st_mode & 0o777 == 0o600
