"""`fedvoxel privacy reconcile`: a server's ledger held against the sites', and what `verify` says of a server's kit."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedvoxel.cli.privacy_view import print_json

if TYPE_CHECKING:
    from fedvoxel.privacy.reconcile import Reconciliation
    from fedvoxel.privacy.server_record import ServerRecord

RECONCILE_EXAMPLE = "Example: fedvoxel privacy reconcile server hospital-a hospital-b"


def reconcile(
    server_kit: Annotated[
        Path,
        typer.Argument(help="The server's kit, or a folder with a copy of its state/privacy/.", show_default=False),
    ],
    site_kits: Annotated[
        list[Path], typer.Argument(help="The hospitals' kits; each needs its state/privacy/.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Holds every release that the server received against the hospitals' ledgers: sent there, with the same bytes.

    A hospital whose ledger lacks one has put an older copy back, and is named. Without its startup/ a hospital's
    folder has to bear the hospital's name. Exit code 12 if anything does not fit.
    """
    from fedvoxel.privacy.reconcile import reconcile as held_against
    from fedvoxel.privacy.reconcile import site_releases
    from fedvoxel.privacy.server_record import verify_server

    record = verify_server(_state(server_kit))
    found = [held_against(record, _site_name(kit), site_releases(_state(kit))) for kit in site_kits]
    if as_json:
        print_json(
            {"server": {"entries": record.entries, "head": record.head}, "sites": [asdict(one) for one in found]}
        )
    else:
        for one in found:
            _show(one)
    if any(one.problems for one in found):
        raise typer.Exit(12)


def is_server_kit(kit: Path) -> bool:
    """Says whether a folder is a server's kit, or holds a copy of a server's ledger."""
    from fedvoxel.privacy.server_ledger import SERVER_LEDGER_FILE

    return (kit / "startup" / "fed_server.json").is_file() or (kit / "state/privacy" / SERVER_LEDGER_FILE).is_file()


def verify_server_kit(kit: Path, noted: str | None, as_json: bool) -> None:
    """Checks a server's ledger and shows its head and its runs; ends with exit code 12 if something contradicts."""
    from fedvoxel.privacy.server_record import verify_server

    record = verify_server(kit / "state", noted)
    if as_json:
        told = {"entries": record.entries, "head": record.head, "problems": list(record.problems)}
        print_json({"server": told | {"runs": _runs_json(record)}})
    else:
        _show_record(record)
    if record.problems:
        raise typer.Exit(12)


def _show_record(record: "ServerRecord") -> None:
    typer.echo(f"server: {record.entries} entries, unbroken; head {record.head or '(empty)'}")
    for run_key, run in record.runs.items():
        counts = ", ".join(f"{site} {len(run.of(site))}" for site in run.sites)
        released = f"; released with noise added here: {len(run.released)} rounds" if run.released else ""
        typer.echo(f"{run_key}: received of {counts}{released}")
    for problem in record.problems:
        typer.echo(f"server: {problem}", err=True)


def _runs_json(record: "ServerRecord") -> list[dict[str, Any]]:
    return [
        {
            "run_key": run_key,
            "jobs": run.jobs,
            "received": {site: len(run.of(site)) for site in run.sites},
            "released_rounds": [one.round for one in run.released],
        }
        for run_key, run in record.runs.items()
    ]


def _show(found: "Reconciliation") -> None:
    for run in found.runs:
        typer.echo(f"{found.site}, run {run.run_key}: {run.received} received by the server, {run.sent} sent")
    for problem in found.problems:
        typer.echo(f"{found.site}: {problem}", err=True)
    if not found.problems:
        typer.echo(f"{found.site}: adds up" if found.runs else f"{found.site}: no release, neither sent nor received")


def _state(kit: Path) -> Path:
    if not (kit / "state").is_dir():
        raise typer.BadParameter(f"{kit.name} has no state/ folder: expected a kit, or a copy of its state/privacy/")
    return kit / "state"


def _site_name(kit: Path) -> str:
    from fedvoxel.governance.kit import open_kit

    return open_kit(kit).name if (kit / "startup").is_dir() else kit.resolve().name
