"""Shows what a check of a job found."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from fedvoxel.flare.job_admission import Verdict
    from fedvoxel.governance.finding import Finding

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def show_findings(job: str, findings: Sequence["Finding"]) -> None:
    """Prints what was found in the job itself."""
    table = Table(title=f"{escape(job)}: the job itself", title_justify="left")
    for heading in ("", "about", "what"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        colour = _COLOURS[finding.level]
        table.add_row(f"[{colour}]{finding.level}[/]", finding.topic, escape(finding.message))
    Console().print(table)


def show_verdicts(title: str, verdicts: Sequence["Verdict"]) -> None:
    """Prints which sites would accept the job, and why others would not; nothing if there are none."""
    if not verdicts:
        return
    table = Table(title=title, title_justify="left")
    for heading in ("site", "", "cases", "why, and what to know"):
        table.add_column(heading, overflow="fold")
    for verdict in verdicts:
        refused = "[yellow]waits[/]" if verdict.waits else "[red]refused[/]"
        answer = "[green]accepted[/]" if verdict.accepted else refused
        table.add_row(verdict.site, answer, escape(_cases(verdict.details)), escape(_remarks(verdict)))
    Console().print(table)


def _cases(details: Mapping[str, Any]) -> str:
    if "usable" in details:
        shown = [f"{count} {split}" for split, count in details["usable"].items()]
        return ", ".join([*shown, f"{details['refused']} refused"])
    if "training_cases" in details:
        return f"training: {details['training_cases']}, refused: {details['refused_cases']}"
    if "protects" in details:
        return "protected"
    return ""


def _remarks(verdict: "Verdict") -> str:
    versions = verdict.details.get("versions", {})
    told = [f"{name} {version}" for name, version in versions.items() if name in ("fedvoxel", "monai")]
    return "; ".join([*verdict.reasons, *told])
