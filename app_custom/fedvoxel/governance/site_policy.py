"""What is wrong with a kit's local policy, found by reading its files, before FLARE reads them.

FLARE checks little of this when it starts: a missing authorisation file allows everything, a privacy scope with a
class that does not exist is accepted and ends the first job for everyone. Every check here fails closed: what cannot
be read or is not known is an error.
"""

import json
from pathlib import Path
from typing import Any

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError
from fedvoxel.governance.approval_findings import check_approval, takes_code
from fedvoxel.governance.class_list import check_class_list
from fedvoxel.governance.finding import Finding, error, has_errors, ok, warning
from fedvoxel.governance.job_policy import read_policy
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.local_policy import HEARTBEAT_TIMEOUT_S, OUTBOUND_FILTER
from fedvoxel.governance.own_components import OWN_COMPONENTS
from fedvoxel.governance.permissions import check_permissions

TOPIC = "policy"
_STREAMERS = ("SiteLogStreamer", "JobLogStreamer", "JobLogReceiver")
_MAX_HEARTBEAT_TIMEOUT_S = 60


def check_policy(kit: Kit) -> list[Finding]:
    """Checks the files in the kit's `local/` folder that decide what jobs and people may do there."""
    findings = _check_resources(kit) + _check_authorization(kit) + _check_privacy(kit)
    if not has_errors(findings):
        findings.append(ok(TOPIC, f"{_code_words(kit)}, one privacy scope, no log streaming"))
    return findings + (check_approval(kit) if kit.kind == "site" else [])


def _code_words(kit: Kit) -> str:
    return "code in jobs only where it is approved" if takes_code(kit) else "no code in jobs"


def privacy_filters(kit: Kit) -> list[dict[str, Any]]:
    """Returns the filters of the kit's privacy scopes as they are written, for a check of their classes.

    Raises:
        ConfigError: The file cannot be read.
    """
    policy = read_json(kit.local / "privacy.json", "the privacy policy")
    scopes = policy.get("scopes", []) if isinstance(policy, dict) else []
    kinds = ("task_data_filters", "task_result_filters")
    return [entry for scope in scopes if isinstance(scope, dict) for kind in kinds for entry in scope.get(kind) or ()]


def _read_policy(kit: Kit, name: str) -> dict[str, Any] | Finding:
    """Reads the owner's file, or the provisioned one beside it, as FLARE does."""
    if not any((kit.local / file).is_file() for file in (name, f"{name}.default")):
        return error(TOPIC, f"local/{name} is missing; write it with: fedvoxel site init {kit.folder}")
    try:
        return read_policy(kit, name)
    except ConfigError as problem:
        return error(TOPIC, f"{problem}; correct it, or delete it and run: fedvoxel site init {kit.folder}")


def _check_resources(kit: Kit) -> list[Finding]:
    values = _read_policy(kit, "resources.json")
    if isinstance(values, Finding):
        return [values]
    findings = check_class_list(values)
    if values.get("allow_log_streaming") is not False:
        findings.append(error(TOPIC, "local/resources.json sends logs to the server; set allow_log_streaming to false"))
    components = values.get("components")
    if not isinstance(components, list) or not all(isinstance(part, dict) for part in components):
        return [
            *findings,
            error(
                TOPIC, "local/resources.json: components is not a list of objects; delete the file to use the default"
            ),
        ]
    for part in components:
        if str(part.get("path", "")).endswith(_STREAMERS):
            findings.append(error(TOPIC, f"local/resources.json: component {part.get('id')} streams logs; remove it"))
    lacking = [part["id"] for part in OWN_COMPONENTS.get(kit.kind, ()) if part not in components]
    if lacking:
        said = f"local/resources.json lacks {', '.join(lacking)} of FedVoxel's own components, which keep strangers out"
        findings.append(error(TOPIC, f"{said} and record what happens; to add them: fedvoxel site init {kit.folder}"))
    return findings + (_check_server_resources(values, kit.folder) if kit.kind == "server" else [])


def _check_server_resources(values: dict[str, Any], folder: Path) -> list[Finding]:
    findings = []
    for part in values["components"]:
        arguments = part.get("args")
        root = str(arguments.get("uri_root", "")) if isinstance(arguments, dict) else ""
        if part.get("id") == "job_manager" and Path(root).is_absolute() and folder not in Path(root).parents:
            findings.append(
                error(TOPIC, f"local/resources.json keeps jobs in {root}, outside the kit; set uri_root to state/jobs")
            )
    servers = values.get("servers")
    for server in servers if isinstance(servers, list) else ():
        timeout = server.get("heart_beat_timeout", 600) if isinstance(server, dict) else None
        if not isinstance(timeout, int | float):
            findings.append(error(TOPIC, "local/resources.json: servers is not a list of objects with a timeout each"))
        elif timeout > _MAX_HEARTBEAT_TIMEOUT_S:
            findings.append(
                warning(
                    TOPIC,
                    f"a lost site is noticed only after {timeout} s; set heart_beat_timeout to {HEARTBEAT_TIMEOUT_S}",
                )
            )
    return findings


def _check_authorization(kit: Kit) -> list[Finding]:
    values = _read_policy(kit, "authorization.json")
    return [values] if isinstance(values, Finding) else check_permissions(values, takes_code(kit))


def _check_privacy(kit: Kit) -> list[Finding]:
    path = kit.local / "privacy.json"
    if not path.is_file():
        # FLARE then lets a job name any scope, and filters nothing.
        return [error(TOPIC, f"local/privacy.json is missing; write it with: fedvoxel site init {kit.folder}")]
    values = _read_policy(kit, "privacy.json")
    if isinstance(values, Finding):
        return [values]
    scopes = values.get("scopes")
    if not isinstance(scopes, list) or not scopes or not all(isinstance(scope, dict) for scope in scopes):
        return [error(TOPIC, "local/privacy.json: expected a list scopes with one scope in it")]
    names = [scope.get("name") for scope in scopes]
    findings = []
    if len(scopes) > 1:
        shown = ", ".join(map(str, names))
        findings.append(
            error(TOPIC, f"local/privacy.json has {len(scopes)} scopes ({shown}): a job could choose; leave one")
        )
    if values.get("default_scope") not in names:
        came = values.get("default_scope")
        findings.append(
            error(
                TOPIC, f"local/privacy.json: default_scope is {came!r}, expected {names[0]!r}; else nothing is filtered"
            )
        )
    findings += [problem for scope in scopes for problem in _check_filters(scope)]
    return findings + ([_outbound_missing(scope) for scope in scopes if _lets_out(scope)] if kit.kind == "site" else [])


def _lets_out(scope: dict[str, Any]) -> bool:
    """Says whether something could leave that our filter has not admitted.

    It must come last and be written as we write it: FLARE also knows keys that switch a filter off or turn it around.
    """
    filters = scope.get("task_result_filters")
    return not isinstance(filters, list) or filters[-1:] != [OUTBOUND_FILTER]


def _outbound_missing(scope: dict[str, Any]) -> Finding:
    wanted = json.dumps(OUTBOUND_FILTER)
    return error(
        TOPIC,
        f"local/privacy.json: scope {scope.get('name')} lets out what the outbound filter has not admitted; write "
        f"{wanted} as the last of its task_result_filters",
    )


def _check_filters(scope: dict[str, Any]) -> list[Finding]:
    findings = []
    for kind in ("task_data_filters", "task_result_filters"):
        entries = scope.get(kind, [])
        if not isinstance(entries, list):
            findings.append(error(TOPIC, f"local/privacy.json: {kind} of scope {scope.get('name')} is not a list"))
            continue
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
                named = entry.get("name") if isinstance(entry, dict) else entry
                findings.append(
                    error(TOPIC, f"local/privacy.json: filter {named!r} has no path; write its full class path as path")
                )
    return findings
