"""A site that would not keep its own rule of approval is told so before it starts."""

import json
from collections.abc import Callable

from fedvoxel.governance.approval_findings import check_approval
from fedvoxel.governance.approval_policy import APPROVAL_FILE, ApprovalPolicy, write_approval_policy
from fedvoxel.governance.finding import has_errors
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.site_policy import check_policy

Copy = Callable[[str], Kit]


def own_resources(kit: Kit) -> None:
    """Gives the site resources of its own, written before there was a rule of approval."""
    resources = json.loads((kit.local / "resources.json.default").read_text())
    resources["components"] = [part for part in resources["components"] if part["id"] != "app_deployer"]
    (kit.local / "resources.json").write_text(json.dumps(resources))


def allow_code(kit: Kit) -> None:
    rights = json.loads((kit.local / "authorization.json.default").read_text())
    rights["permissions"]["lead"]["byoc"] = "any"
    (kit.local / "authorization.json").write_text(json.dumps(rights))


def test_a_new_kit_asks_and_wants_nobodys_approval(kit: Copy) -> None:
    (found,) = check_approval(kit("hospital-a"))
    assert (found.level, found.message) == ("ok", "a job needs nobody's approval here")


def test_a_rule_that_nobody_would_keep_is_an_error(kit: Copy) -> None:
    site = kit("hospital-a")
    own_resources(site)
    assert [found.level for found in check_approval(site)] == ["warning"]
    write_approval_policy(site.local, ApprovalPolicy(approvals=1))
    assert has_errors(check_policy(site))


def test_a_rule_that_cannot_be_read_is_an_error(kit: Copy) -> None:
    site = kit("hospital-a")
    (site.local / APPROVAL_FILE).write_text("{")
    assert has_errors(check_policy(site))
    (site.local / APPROVAL_FILE).unlink()
    (found,) = check_approval(site)
    assert found.level == "error" and "fedvoxel site init" in found.message


def test_code_may_be_allowed_only_where_a_person_must_approve_it(kit: Copy) -> None:
    site = kit("hospital-a")
    allow_code(site)
    assert has_errors(check_policy(site))
    write_approval_policy(site.local, ApprovalPolicy(code="approved", cohorts={"rare": 2}))
    findings = check_policy(site)
    assert not has_errors(findings)
    assert any("2 on cohort rare" in found.message for found in findings)
    own_resources(site)
    assert has_errors(check_policy(site))
