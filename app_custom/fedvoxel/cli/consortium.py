"""`fedvoxel consortium`: makes everyone's startup kit, and runs a whole consortium on one machine for development."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedvoxel.cli import consortium_certificates as certificates
from fedvoxel.cli import consortium_report as quarter
from fedvoxel.cli import consortium_withdrawal as withdrawal
from fedvoxel.cli.authority_options import KeyFolder, PassphraseFile, read_passphrase
from fedvoxel.governance.consortium import Consortium, authority_folder

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The consortium's certificate authority and startup kits; run them all on this machine to develop.",
)

_OPERATOR = "-w consortium"
for _name, _command, _example in (
    ("init", certificates.init, f"init consortium.yml {_OPERATOR} --ca /media/stick"),
    ("issue", certificates.issue, f"issue consortium.yml hospital-a.csr {_OPERATOR}"),
    ("renew", certificates.renew, f"renew consortium.yml {_OPERATOR}"),
    ("revoke", certificates.revoke, f"revoke hospital-c {_OPERATOR} --reason left"),
    ("rotate-ca", certificates.rotate_ca, f"rotate-ca consortium.yml {_OPERATOR}"),
    ("list", certificates.list_certificates, f"list {_OPERATOR}"),
    ("leaver", certificates.leaver, f"leaver hospital-c {_OPERATOR}"),
    ("withdraw", withdrawal.withdraw, f"withdraw hospital-c --state fl.consortium.example {_OPERATOR}"),
    ("report", quarter.report, "report fl.consortium.example --quarter 2026-Q4 --releases releases"),
    (
        "verify-withdrawal",
        withdrawal.verify_withdrawal,
        "verify-withdrawal withdrawal-hospital-c.json --root hospital-c --model start_model.npz",
    ),
):
    app.command(name=_name, epilog=f"Example: fedvoxel consortium {_example}")(_command)

DEFAULT_FILE = Path("provisioning/consortium.yml")
WorkspaceArgument = Annotated[Path, typer.Argument(help="The folder that 'create' filled.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]

_WHO = {
    "project_admin": "the consortium's operator",
    "org_admin": "the hospital's IT",
    "lead": "the data scientist",
    "member": "the clinician",
}


@app.command(epilog="Example: fedvoxel consortium create provisioning/consortium.yml --workspace workspace")
def create(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Where the kits and the authority's keys go.")],
    project_file: Annotated[Path, typer.Argument(help="The consortium file.")] = DEFAULT_FILE,
    port: Annotated[int | None, typer.Option("--port", help="The server's port, instead of the file's.")] = None,
    key_folder: KeyFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a startup kit for the server, each hospital and each person, with everyone's private key: to develop.

    Real hospitals make their keys themselves (fedvoxel site request) and are answered with: fedvoxel consortium issue.
    Safe to repeat: an unchanged file leaves the kits alone; a changed one makes new kits from the same certificate
    authority, with the keys and certificates that are still good.
    """
    from fedvoxel.flare.provisioning import create_consortium, kits_to_fill
    from fedvoxel.governance.authority_store import ROOT_FILE
    from fedvoxel.governance.consortium_file import load_consortium_file
    from fedvoxel.governance.ledger_presence import MOVE_FILE

    load_consortium_file(project_file)
    is_new = not (authority_folder(workspace) / ROOT_FILE).is_file()
    secret = read_passphrase(passphrase_file, new=is_new)
    consortium = create_consortium(project_file, workspace, port, secret, key_folder)
    if as_json:
        typer.echo(json.dumps(_as_json(consortium), indent=2))
        return
    console = Console()
    console.print(_table(consortium))
    console.print(f"Kits: {consortium.folder}", soft_wrap=True, highlight=False)
    for name in kits_to_fill(consortium):
        said = f"{name} has a privacy ledger in a kit before: {MOVE_FILE} in its new kit says what to move there first."
        console.print(f"[yellow]{said}[/]", soft_wrap=True, highlight=False)
    console.print(
        f"Every kit holds its owner's private key, made on this machine: for development. The authority's own is in "
        f"{key_folder or authority_folder(workspace)}, encrypted.",
        soft_wrap=True,
        highlight=False,
    )


@app.command(epilog="Example: fedvoxel consortium start workspace")
def start(
    workspace: WorkspaceArgument,
    site: Annotated[list[str] | None, typer.Option("--site", help="Start only this site; repeat for more.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Starts the server and all sites on this machine and waits until they are connected (for development)."""
    from fedvoxel.flare.consortium_processes import start_consortium

    running = start_consortium(workspace, site or None)
    if as_json:
        typer.echo(json.dumps({name: process.pid for name, process in running.processes.items()}, indent=2))
        return
    console = Console()
    for name, process in running.processes.items():
        console.print(f"{name} runs as process {process.pid}", highlight=False)
    console.print(f"Stop them with: fedvoxel consortium stop {workspace}", soft_wrap=True, highlight=False)


@app.command(epilog="Example: fedvoxel consortium stop workspace")
def stop(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Stops what 'start' started, with all job and training processes."""
    from fedvoxel.flare.consortium_processes import stop_consortium

    stopped = stop_consortium(workspace)
    if as_json:
        typer.echo(json.dumps(stopped))
        return
    Console().print(f"Stopped {', '.join(stopped)}" if stopped else "Nothing was running", highlight=False)


def _as_json(consortium: Consortium) -> dict[str, object]:
    from fedvoxel.flare.provisioning import kits_to_fill

    record = consortium.record
    return {
        "project": record.project,
        "server": {"name": record.server, "kit": str(consortium.server_kit)},
        "relays": {name: str(consortium.kit(name)) for name in record.relays},
        "sites": {name: str(consortium.kit(name)) for name in record.sites},
        "move_ledger": kits_to_fill(consortium),
        "people": {name: {"role": role, "kit": str(consortium.kit(name))} for name, role in record.people.items()},
    }


def _table(consortium: Consortium) -> Table:
    table = Table(title=f"Startup kits of {consortium.record.project}")
    for heading in ("kit", "role", "goes to"):
        table.add_column(heading, overflow="fold")
    table.add_row(consortium.record.server, "server", "whoever runs the server")
    for name in consortium.record.relays:
        table.add_row(name, "relay", "whoever runs the relay")
    for name in consortium.sites:
        table.add_row(name, "site", "the hospital's IT")
    for name, role in consortium.record.people.items():
        table.add_row(name, role, _WHO[role])
    return table
