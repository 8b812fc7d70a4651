"""How incidents are shown: a table with a timeline for people, values for scripts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.governance.incidents.incident import Incident

_COLOURS = {"low": "dim", "medium": "yellow", "high": "red", "critical": "bold red"}


def show_incidents(console: "Console", incidents: Sequence["Incident"], standing: dict[str, Any]) -> None:
    """Prints how the switches stand, and each incident with what was said about it."""
    from rich.markup import escape
    from rich.table import Table

    if standing["halted"]:
        console.print("[bold red]All jobs are stopped here.[/]")
    if standing["quarantined"] is None:
        console.print("[bold red]Nobody can tell which sites are in quarantine.[/]")
    elif standing["quarantined"]:
        console.print(f"In quarantine: {escape(', '.join(standing['quarantined']))}", highlight=False)
    for incident in incidents:
        colour = _COLOURS[incident.severity]
        kind, state = incident.said[0].statement.kind, "open" if incident.is_open else "closed"
        title = f"{incident.name}  {kind}  [{colour}]{incident.severity}[/]  {state}"
        table = Table(title=title, title_justify="left", show_lines=False)
        for heading in ("when", "who", "", "what"):
            table.add_column(heading, overflow="fold")
        for one in incident.said:
            who = escape(one.by) + ("" if one.counts else " [yellow](the certificate counts no more)[/]")
            words = " ".join(filter(None, (one.statement.word, one.statement.site)))
            table.add_row(one.at, who, escape(words), escape(one.statement.text))
        console.print(table)
    if not incidents:
        console.print("No incident was ever declared here.")


def incident_json(incident: "Incident") -> dict[str, Any]:
    """Returns one incident for a script."""
    return {
        "incident": incident.name,
        "kind": incident.said[0].statement.kind,
        "severity": incident.severity,
        "open": incident.is_open,
        "halts": incident.halts,
        "keeps_out": sorted(incident.keeps_out),
        "timeline": [
            {
                "at": one.at,
                "by": one.by,
                "counts": one.counts,
                **one.statement.model_dump(mode="json", include={"word", "site", "severity", "text"}),
            }
            for one in incident.said
        ],
    }
