"""`fedvoxel audit …`: checks a log of what was refused, and says what stands in it."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from fedvoxel.errors import ConfigError, LedgerError
from fedvoxel.records.audit import AUDIT_FILE, AuditLog

app = typer.Typer(no_args_is_help=True, help="Check the log of whom the server refused or missed, and why.")


@app.callback()
def _audit() -> None:
    """Makes `verify` a sub-command, as it will not be the only one."""


@app.command(epilog="Example: fedvoxel audit verify server.consortium.example/state/audit/audit.jsonl")
def verify(
    file: Annotated[Path, typer.Argument(help="The log, with its head.json beside it.", show_default=False)],
    noted: Annotated[str | None, typer.Option(help="Hash of an entry that somebody outside has noted.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Checks that no line of a log was changed, dropped, exchanged or put in, and counts what it says.

    Note the head that it shows somewhere else: an older copy of the whole folder can only be found with it. Exit code
    12 if the log cannot be trusted.
    """
    if file.name != AUDIT_FILE or not file.is_file():
        raise ConfigError(f"expected an audit log, a file {AUDIT_FILE} in a folder audit/, got {file.name}")
    lines = AuditLog(file.resolve().parent.parent).read()
    if noted is not None and noted not in {entry.hash for entry, _ in lines}:
        raise LedgerError(f"the log does not know {noted}: it is an older copy, or another log")
    head = lines[-1][0].hash if lines else None
    counts = Counter((event.run_key, event.site, f"{event.kind} {event.outcome}") for _, event in lines)
    if as_json:
        events = [{"run_key": run, "site": site, "what": what, "count": n} for (run, site, what), n in counts.items()]
        typer.echo(json.dumps({"entries": len(lines), "head": head, "events": events}, indent=2))
        return
    typer.echo(f"{len(lines)} entries, unbroken; head {head or '(empty)'}")
    for (run_key, site, what), count in sorted(counts.items()):
        typer.echo(f"{run_key}: {site} {what} {count} times")
    typer.echo("Next: note the head outside this machine, and later give it to --noted")
