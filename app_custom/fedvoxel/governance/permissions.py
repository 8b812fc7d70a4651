"""Whether a site's authorisation file keeps code and shell access away from everyone, in FLARE's own expressions."""

import re
from typing import Any

from fedvoxel.governance.finding import Finding, error, warning

_TOPIC = "policy"
_FILE = "local/authorization.json"
_EXPRESSION = re.compile(r"(?:not\s+)?(?:any|all|none|no|(?:o|org|n|name):\S+)", re.IGNORECASE)
_NOBODY = {"none", "no"}


def check_permissions(authorization: dict[str, Any], takes_code: bool = False) -> list[Finding]:
    """Checks the content of an `authorization.json`; a right that a role does not list is not granted.

    Args:
        authorization: The file's content.
        takes_code: Whether the site's rule of approval lets code in that its people have approved.
    """
    permissions = authorization.get("permissions")
    if not isinstance(permissions, dict) or not permissions:
        return [error(_TOPIC, f"{_FILE}: expected an object permissions with a set of rights for each role")]
    return [finding for role, rights in permissions.items() for finding in _check_role(role, rights, takes_code)]


def _check_role(role: str, rights: Any, takes_code: bool) -> list[Finding]:
    if not isinstance(rights, dict):
        if rights in _NOBODY:
            return []
        return [
            error(
                _TOPIC,
                f"{_FILE}: {role} has {rights!r} for every right, code included; list each right, with byoc none",
            )
        ]
    findings = [
        error(
            _TOPIC,
            f"{_FILE}: {role}.{right} is {rule!r}, which FLARE cannot read; write any, none, o:site or n:submitter",
        )
        for right, rule in rights.items()
        if not _is_rule(rule)
    ]
    if not takes_code and not _is_nobody(rights.get("byoc", "none")):
        findings.append(error(_TOPIC, f"{_FILE}: {role} may bring code (byoc is {rights['byoc']!r}); set it to none"))
    if not _is_nobody(rights.get("shell_commands", "none")):
        findings.append(
            warning(_TOPIC, f"{_FILE}: {role} may read files here through the console; set shell_commands to none")
        )
    return findings


def _is_rule(rule: Any) -> bool:
    if isinstance(rule, list):
        return bool(rule) and all(isinstance(part, str) and _EXPRESSION.fullmatch(part.strip()) for part in rule)
    return isinstance(rule, str) and _EXPRESSION.fullmatch(rule.strip()) is not None


def _is_nobody(rule: Any) -> bool:
    return isinstance(rule, str) and rule.strip().lower() in _NOBODY
