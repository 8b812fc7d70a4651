"""`fedvoxel incident …`: says that something went wrong, stops all jobs, keeps a site out, and shows the record."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fedvoxel.errors import FedVoxelError, LedgerError

if TYPE_CHECKING:
    from fedvoxel.governance.incidents.statement import Word
    from fedvoxel.governance.kit import Kit

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Declare an incident, stop all jobs, keep a site out, and show the record. Runbooks: docs/incidents.md.",
)

_Kind = Literal["disclosure", "intrusion", "bad_update", "unsafe_model", "bad_data", "outage"]
_Severity = Literal["low", "medium", "high", "critical"]

KitPlace = Annotated[
    Path, typer.Argument(metavar="KIT", help="The server's kit, or a site's: where it counts.", show_default=False)
]
Name = Annotated[str, typer.Argument(metavar="INCIDENT", help="Its name, as it was declared.", show_default=False)]
Site = Annotated[str, typer.Argument(help="The site.", show_default=False)]
Sign = Annotated[Path, typer.Option("--sign", help="Your own kit, whose certificate has your role.")]
Text = Annotated[str, typer.Option("--text", help="What happened, or why, on one line; no patient's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]
_SIGNED = '--sign kits/admin@consortium.example --text "key of a laptop stolen"'


@app.command(epilog=f"Example: fedvoxel incident declare server --kind intrusion --severity high --halt {_SIGNED}")
def declare(
    kit: KitPlace,
    kind: Annotated[_Kind, typer.Option("--kind", help="docs/incidents.md has a runbook for each.")],
    severity: Annotated[_Severity, typer.Option("--severity", help="How bad it is.")],
    sign: Sign,
    text: Text,
    halt_now: Annotated[bool, typer.Option("--halt", help="Also stop all jobs here, at once.")] = False,
    as_json: AsJson = False,
) -> None:
    """Says that there is an incident, and with --halt stops all jobs: everywhere at the server's kit, else at the site.

    Exit code 8 if you may not do that here, 12 if the record cannot be trusted.
    """
    from fedvoxel.governance.incidents.statement import new_incident

    name = new_incident(datetime.now(UTC))
    if halt_now:
        _stop(kit, sign)
    _say(kit, sign, "declared", name, text, kind=kind, severity=severity)
    if halt_now:
        _say(kit, sign, "halted", name, text)
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "incident": name, "halted": halt_now}))
        return
    typer.echo(f"Incident {name} is declared." + (" All jobs are stopped." if halt_now else ""))
    typer.echo(f"Next: the runbook for {kind} in docs/incidents.md; then fedvoxel incident close {kit} {name}")


@app.command(epilog=f"Example: fedvoxel incident note server 20261130-3fa9c1 {_SIGNED}")
def note(
    kit: KitPlace,
    incident: Name,
    sign: Sign,
    text: Text,
    severity: Annotated[_Severity | None, typer.Option("--severity", help="How bad it is now.")] = None,
) -> None:
    """Adds to an incident's timeline what was found or done; with --severity it changes that."""
    _say(kit, sign, "noted", incident, text, severity=severity)
    typer.echo("Noted.")


@app.command(epilog=f"Example: fedvoxel incident halt hospital-a 20261130-3fa9c1 {_SIGNED}")
def halt(kit: KitPlace, incident: Name, sign: Sign, text: Text) -> None:
    """Stops all jobs, and has none begin: everywhere at the server's kit, else at this site; nothing leaves it then.

    Running jobs of a server end as aborted, after their last committed round; the others go on without a site. It needs
    an administrator: the project's at the server, the hospital's at a site. Exit code 8 if you are not.
    """
    _say(kit, sign, "halted", incident, text)
    typer.echo(f"All jobs are stopped. To let them run again: fedvoxel incident lift {kit} {incident}")


@app.command(epilog=f"Example: fedvoxel incident lift hospital-a 20261130-3fa9c1 {_SIGNED}")
def lift(kit: KitPlace, incident: Name, sign: Sign, text: Text) -> None:
    """Lets jobs run again, unless another incident has stopped them too."""
    from fedvoxel.governance.incidents.switches import is_halted

    _say(kit, sign, "lifted", incident, text)
    if is_halted(_open(kit).state):
        typer.echo("All jobs stay stopped, for another incident: see fedvoxel incident show")
    else:
        typer.echo("Jobs run again. What was aborted goes on when the same job is submitted again.")


@app.command(epilog=f"Example: fedvoxel incident quarantine server 20261130-3fa9c1 hospital-c {_SIGNED}")
def quarantine(kit: KitPlace, incident: Name, site: Site, sign: Sign, text: Text) -> None:
    """Keeps a site out of all rounds from now on: it is asked for nothing, is sent no model, and no answer counts."""
    _say(kit, sign, "quarantined", incident, text, site=site)
    typer.echo(f"{site} is kept out. To let it in again: fedvoxel incident release {kit} {incident} {site}")


@app.command(epilog=f"Example: fedvoxel incident release server 20261130-3fa9c1 hospital-c {_SIGNED}")
def release(kit: KitPlace, incident: Name, site: Site, sign: Sign, text: Text) -> None:
    """Lets a site into rounds again, unless another incident keeps it out too."""
    _say(kit, sign, "released", incident, text, site=site)
    typer.echo(f"{site} is let in again, as far as this incident goes.")


@app.command(epilog=f"Example: fedvoxel incident close server 20261130-3fa9c1 {_SIGNED}")
def close(kit: KitPlace, incident: Name, sign: Sign, text: Text) -> None:
    """Says that an incident is over. Exit code 10 while it still stops jobs or keeps a site out."""
    _say(kit, sign, "closed", incident, text)
    typer.echo("Closed.")


@app.command(epilog="Example: fedvoxel incident show server")
def show(kit: KitPlace, as_json: AsJson = False) -> None:
    """Shows each incident with its timeline, and how the switches stand. Exit code 12 if the two do not agree."""
    from rich.console import Console

    from fedvoxel.cli.incident_view import incident_json, show_incidents
    from fedvoxel.governance.incidents.incident_log import IncidentLog, standing

    opened, now = _open(kit), datetime.now(UTC)
    incidents = IncidentLog(opened).read(now)
    stand = standing(opened, incidents)
    if as_json:
        told = {"schema_version": 1, "keeper": opened.name, **stand, "incidents": [*map(incident_json, incidents)]}
        typer.echo(json.dumps(told, indent=2))
    else:
        show_incidents(Console(), incidents, stand)
    if not stand["as_recorded"]:
        raise LedgerError("the switches do not stand as the record says: somebody set them by hand, or a write failed")


def _open(kit: Path) -> "Kit":
    from fedvoxel.governance.kit import open_kit

    return open_kit(kit)


def _stop(kit: Path, person: Path) -> None:
    """Stops all jobs before anything is declared, which a full disk or a damaged record would keep from it."""
    from fedvoxel.governance.incidents.incident_log import IncidentLog
    from fedvoxel.records.identity import load_identity

    IncidentLog(_open(kit)).stop(load_identity(person / "startup"), datetime.now(UTC))


def _say(
    kit: Path,
    person: Path,
    word: "Word",
    incident: str,
    text: str,
    *,
    site: str = "",
    kind: _Kind | None = None,
    severity: _Severity | None = None,
) -> None:
    from fedvoxel.config import parse_config
    from fedvoxel.governance.incidents.incident_log import IncidentLog
    from fedvoxel.governance.incidents.statement import IncidentStatement
    from fedvoxel.governance.incidents.switches import is_halted
    from fedvoxel.records.identity import load_identity

    opened = _open(kit)
    said: dict[str, Any] = {"incident": incident, "keeper": opened.name, "word": word, "text": text}
    said |= {"site": site, "kind": kind, "severity": severity}
    statement = parse_config(IncidentStatement, said, "what is said of the incident")
    try:
        IncidentLog(opened).say(load_identity(person / "startup"), statement, datetime.now(UTC))
    except (FedVoxelError, OSError):
        if word in ("declared", "halted") and is_halted(opened.state):
            typer.echo("All jobs are stopped here; what follows is about the record of it.", err=True)
        raise
