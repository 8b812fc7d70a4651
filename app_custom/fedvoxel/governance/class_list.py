"""Whether a site's class allow-list lets jobs build what they need, and nothing else."""

from typing import Any

from fedvoxel.governance.finding import Finding, error, warning
from fedvoxel.governance.local_policy import JOB_CLASSES

_TOPIC = "policy"


def is_allowed(class_path: str, allow_list: list[str]) -> bool:
    """Says whether FLARE would build `class_path`: an entry is the path or what stands before one of its dots."""
    return any(class_path == entry or class_path.startswith(entry.rstrip(".") + ".") for entry in allow_list)


def check_class_list(resources: dict[str, Any]) -> list[Finding]:
    """Checks the enforcement mode and the class allow-list of a `resources.json`."""
    findings = []
    if resources.get("class_list_enforcement_mode", "enforce") != "enforce":
        mode = resources["class_list_enforcement_mode"]
        findings.append(
            error(_TOPIC, f"local/resources.json: class_list_enforcement_mode is {mode!r}; set it to 'enforce'")
        )
    allow_list = resources.get("class_allow_list")
    if not isinstance(allow_list, list) or not all(isinstance(entry, str) for entry in allow_list):
        return [
            *findings,
            error(
                _TOPIC, "local/resources.json: class_allow_list is not a list of class paths; FLARE's own would apply"
            ),
        ]
    for entry in allow_list:
        findings.extend(_check_entry(entry))
    missing = [name for name in JOB_CLASSES if not is_allowed(name, allow_list)]
    if missing and "*" not in allow_list:
        findings.append(
            error(
                _TOPIC,
                f"local/resources.json: class_allow_list lacks {', '.join(missing)}; add them, or every job fails",
            )
        )
    return findings


def _check_entry(entry: str) -> list[Finding]:
    if entry == "*":
        return [error(_TOPIC, "local/resources.json: class_allow_list has '*', which allows every class; remove it")]
    body = entry.removesuffix(".")
    if not body or not all(part.isidentifier() for part in body.split(".")) or (body == entry and "." not in body):
        return [
            error(
                _TOPIC,
                f"local/resources.json: class_allow_list entry {entry!r} is neither a class nor a package with a final "
                "dot; FLARE would refuse every job",
            )
        ]
    if entry.endswith("."):
        return [
            warning(
                _TOPIC, f"local/resources.json: class_allow_list entry {entry!r} allows a whole package; name classes"
            )
        ]
    return []
