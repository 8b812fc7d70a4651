"""Whether a site's own files admit a job: its list of allowed classes and its privacy scopes, as FLARE reads them."""

from typing import Any

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError
from fedvoxel.governance.class_list import is_allowed
from fedvoxel.governance.job_folder import JobFolder
from fedvoxel.governance.kit import Kit


def read_policy(kit: Kit, name: str) -> dict[str, Any]:
    """Reads a policy file of a kit: the owner's own, or else the provisioned one beside it.

    Raises:
        ConfigError: Neither is there, or it is not a JSON object.
    """
    path = kit.local / name if (kit.local / name).is_file() else kit.local / f"{name}.default"
    values = read_json(path, f"local/{path.name}")
    if not isinstance(values, dict):
        raise ConfigError(f"local/{path.name}: expected a JSON object, got {type(values).__name__}")
    return values


def policy_reasons(job: JobFolder, kit: Kit) -> list[str]:
    """Returns why the kit's class list or privacy policy would refuse the job; empty when they would not."""
    try:
        return _class_reasons(job, kit) + _scope_reasons(job, kit)
    except ConfigError as problem:
        return [f"{problem}; see: fedvoxel site check"]


def _class_reasons(job: JobFolder, kit: Kit) -> list[str]:
    resources = read_policy(kit, "resources.json")
    allowed = resources.get("class_allow_list")
    if resources.get("class_list_enforcement_mode", "enforce") != "enforce":
        return []
    if not isinstance(allowed, list) or not all(isinstance(entry, str) for entry in allowed):
        return ["local/resources.json: class_allow_list is not a list of class paths; FLARE would refuse every job"]
    wanted = job.server_classes() if kit.kind == "server" else job.site_classes()
    lacking = [path for path in wanted if "*" not in allowed and not is_allowed(path, allowed)]
    return [f"class_allow_list lacks {', '.join(lacking)}, which would end the job for every site"] if lacking else []


def _scope_reasons(job: JobFolder, kit: Kit) -> list[str]:
    if not (kit.local / "privacy.json").is_file():
        return []
    policy = read_policy(kit, "privacy.json")
    scopes = policy.get("scopes")
    names = [scope.get("name") for scope in scopes if isinstance(scope, dict)] if isinstance(scopes, list) else []
    asked = job.meta.scope or policy.get("default_scope")
    if asked in names:
        return []
    return [f"privacy scope {asked!r} is not allowed; this site has {', '.join(map(str, names)) or 'none'}"]
