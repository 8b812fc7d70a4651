"""The options by which a command finds the consortium's certificate authority and opens its key."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.consortium import authority_folder

if TYPE_CHECKING:
    from fedvoxel.governance.authority import Authority
    from fedvoxel.governance.certificate_register import Reason

Workspace = Annotated[
    Path, typer.Option("--workspace", "-w", help="The operator's folder, with the certificate authority in it.")
]
KeyFolder = Annotated[
    Path | None,
    typer.Option("--ca", help="The folder with the authority's encrypted key, where it is elsewhere (a stick)."),
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        help="A file whose first line is the passphrase of the authority's key; else FEDVOXEL_CA_PASSPHRASE, or asked.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether to go on.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]


def read_passphrase(file: Path | None, new: bool = False) -> str:
    """Returns the passphrase: from a file, the environment, or the terminal; never from the command line.

    Args:
        file: A file whose first line it is.
        new: Whether it is for a new key, and has to be given twice.

    Raises:
        ConsortiumError: There is none.
    """
    from fedvoxel.governance.authority_store import PASSPHRASE_VARIABLE

    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConsortiumError(f"the passphrase file cannot be read ({type(error).__name__})") from None
        if lines and lines[0]:
            return lines[0]
        raise ConsortiumError("the passphrase file is empty; its first line is the passphrase")
    if found := os.environ.get(PASSPHRASE_VARIABLE):
        return found
    if not sys.stdin.isatty():
        raise ConsortiumError(
            f"the authority's key needs its passphrase: set {PASSPHRASE_VARIABLE}, give --passphrase-file, or run this "
            "in a terminal"
        )
    return str(typer.prompt("Passphrase of the authority's key", hide_input=True, confirmation_prompt=new, err=True))


def open_with_options(workspace: Path, key_folder: Path | None, passphrase_file: Path | None) -> "Authority":
    """Opens the authority of a workspace.

    Raises:
        ConsortiumError: There is none, or it does not open.
    """
    from fedvoxel.governance.authority_store import open_authority, read_roots

    folder = authority_folder(workspace)
    read_roots(folder)
    return open_authority(folder, key_folder or folder, read_passphrase(passphrase_file))


def confirmed(question: str, yes: bool) -> None:
    """Asks whether to go on; ends the command when not.

    Raises:
        ConsortiumError: Nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConsortiumError("nobody can be asked whether to go on; look at what is shown, and repeat with --yes")
    typer.confirm(question, abort=True, err=True)


def read_reason(said: str) -> "Reason":
    """Returns why somebody is revoked.

    Raises:
        ConsortiumError: There is no such reason.
    """
    from fedvoxel.governance.certificate_register import Reason

    for known in get_args(Reason):
        if said == known:
            return known  # type: ignore[no-any-return]
    raise ConsortiumError(f"--reason: expected one of {', '.join(get_args(Reason))}, got {said[:40]!r}")
