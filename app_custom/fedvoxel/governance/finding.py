"""What a check found: one line that says what, and what to do."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """Is one result of a check.

    Attributes:
        level: `error` stops a site from starting, `warning` does not.
        topic: What was looked at ("certificate", "policy", "data", "disk", "memory", "server").
        message: One line: what is so, and what to do when it should be otherwise.
    """

    level: Level
    topic: str
    message: str

    def as_json(self) -> dict[str, str]:
        """Returns the finding as a JSON-like mapping."""
        return asdict(self)


def ok(topic: str, message: str) -> Finding:
    """Returns a finding that all is well."""
    return Finding("ok", topic, message)


def warning(topic: str, message: str) -> Finding:
    """Returns a finding that deserves attention but stops nothing."""
    return Finding("warning", topic, message)


def error(topic: str, message: str) -> Finding:
    """Returns a finding that stops a site from starting."""
    return Finding("error", topic, message)


def has_errors(findings: Iterable[Finding]) -> bool:
    """Says whether any finding is an error."""
    return any(finding.level == "error" for finding in findings)
