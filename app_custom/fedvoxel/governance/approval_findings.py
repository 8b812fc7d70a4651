"""Whether a site keeps its own rule of approval: the file can be read, and FLARE is told to ask for each job."""

from fedvoxel.errors import ConfigError
from fedvoxel.governance.approval_policy import ApprovalPolicy, load_approval_policy
from fedvoxel.governance.finding import Finding, error, has_errors, ok, warning
from fedvoxel.governance.job_policy import read_policy
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.own_components import DEPLOYER

_TOPIC = "policy"


def check_approval(kit: Kit) -> list[Finding]:
    """Checks a site's rule of approval, and says what it asks for."""
    try:
        policy = load_approval_policy(kit.local)
        components = read_policy(kit, "resources.json").get("components")
    except ConfigError as problem:
        return [error(_TOPIC, f"{problem}; correct it, or where it is missing run: fedvoxel site init {kit.folder}")]
    if not isinstance(components, list) or DEPLOYER not in components:
        return [_not_asked(policy)]
    found = [ok(_TOPIC, f"a job needs {_needs(policy)}")]
    if policy.code == "approved":
        found.append(
            warning(
                _TOPIC, "code may come with a job once a person has approved it: it can do what this account can do"
            )
        )
    return found


def takes_code(kit: Kit) -> bool:
    """Says whether a kit is a site's whose rule lets code in once it is approved, and FLARE is told to ask."""
    if kit.kind != "site" or has_errors(check_approval(kit)):
        return False
    return load_approval_policy(kit.local).code == "approved"


def _not_asked(policy: ApprovalPolicy) -> Finding:
    missing = "local/resources.json has no component app_deployer as the provisioned resources.json.default has it"
    if policy.most or policy.code == "approved":
        return error(_TOPIC, f"{missing}: nobody would ask for the approvals that the site's policy wants; add it")
    return warning(_TOPIC, f"{missing}: a rule of approval would not be kept; add it, or run fedvoxel site init")


def _needs(policy: ApprovalPolicy) -> str:
    if not policy.most:
        return "nobody's approval here"
    by_cohort = "".join(f", {count} on cohort {name}" for name, count in sorted(policy.cohorts.items()))
    return f"the approval of {policy.approvals} people of this hospital{by_cohort}"
