"""`fedvoxel backup …`: keeps what cannot be made again, and puts it back where nothing is."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.errors import ConfigError

if TYPE_CHECKING:
    from fedvoxel.governance.backup import Backup

app = typer.Typer(
    no_args_is_help=True,
    help="Back up a kit or a consortium's workspace, check a backup, put it back where nothing is.",
)

ENVIRONMENT_VARIABLE = "FEDVOXEL_BACKUP_PASSPHRASE"
_FEWEST_CHARACTERS = 12

PassphraseOption = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help=f"A file whose first line is the passphrase; or set {ENVIRONMENT_VARIABLE}. Never on the command line.",
    ),
]
FileArgument = Annotated[Path, typer.Argument(help="The backup.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


@app.command(
    epilog="Example: fedvoxel backup create hospital-a --to /mnt/safe/hospital-a.fvbackup --passphrase-file key"
)
def create(
    folder: Annotated[Path, typer.Argument(help="A kit, or a consortium's workspace.", show_default=False)],
    to: Annotated[Path, typer.Option(help="The file to write; nothing may be there.", show_default=False)],
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes keys, policy, ledgers, journals and audit log as they are at one instant; the kit may be running.

    Without a passphrase the backup holds private keys in the clear: keep it as you keep the kit. Exit code 26 if it
    was not made.
    """
    from fedvoxel.governance.backup import create_backup

    passphrase = _passphrase(passphrase_file)
    made = create_backup(folder, to, passphrase)
    _show(made, as_json)
    if passphrase is None:
        typer.echo("warning: not encrypted, and private keys are in it; keep it as you keep the kit", err=True)
    if not as_json:
        typer.echo(f"Next: copy {to.name} to another building, and rehearse: fedvoxel backup restore {to} --to FOLDER")


@app.command(epilog="Example: fedvoxel backup check /mnt/safe/hospital-a.fvbackup --passphrase-file key")
def check(file: FileArgument, passphrase_file: PassphraseOption = None, as_json: JsonOption = False) -> None:
    """Reads a whole backup without unpacking it; exit code 26 if it was changed, cut, or does not open."""
    from fedvoxel.governance.backup import check_backup

    _show(check_backup(file, _passphrase(passphrase_file)), as_json)


@app.command(epilog="Example: fedvoxel backup restore hospital-a.fvbackup --to /srv/fedvoxel/hospital-a")
def restore(
    file: FileArgument,
    to: Annotated[Path, typer.Option(help="The folder to make; nothing may be there.", show_default=False)],
    passphrase_file: PassphraseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Puts a backup back into a new folder; never over anything.

    A privacy ledger in it would give back what was spent since. So nothing of its cohort leaves until that is recorded
    with `fedvoxel privacy record-gap`; RESTORED.txt in the folder says how. Exit code 26 if it was not put back.
    """
    from fedvoxel.governance.backup import restore_backup

    restored = restore_backup(file, to, _passphrase(passphrase_file))
    _show(restored, as_json)
    for cohort in restored.cohorts:
        typer.echo(
            f"warning: {_printable(cohort)} is of {restored.created} and knows nothing of what was spent since; "
            "nothing of it leaves before fedvoxel privacy record-gap",
            err=True,
        )
    if not as_json:
        typer.echo("Next: do what RESTORED.txt says, then: fedvoxel site check KIT")


def _show(backup: "Backup", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, **asdict(backup)}, indent=2))
        return
    kept = "encrypted" if backup.encrypted else "not encrypted"
    typer.echo(
        f"{backup.name}, {backup.created}, FedVoxel {backup.fedvoxel}: {backup.files} files, "
        f"{backup.size_bytes} bytes, whole, {kept}"
    )
    for path, head in backup.heads.items():
        typer.echo(f"{_printable(path)}: {head}")


def _printable(path: str) -> str:
    return path if path.isprintable() else ascii(path)


def _passphrase(file: Path | None) -> str | None:
    """Returns the passphrase, from a file or the environment; None where neither gives one.

    Raises:
        ConfigError: It is too short, or the file cannot be read.
    """
    try:
        given = os.environ.get(ENVIRONMENT_VARIABLE) if file is None else file.read_text("utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError):
        raise ConfigError("the file of the passphrase cannot be read; give a text file with one line") from None
    if given is not None and len(given) < _FEWEST_CHARACTERS:
        raise ConfigError(f"expected a passphrase of at least {_FEWEST_CHARACTERS} characters, got {len(given)}")
    return given
