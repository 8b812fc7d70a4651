"""The options by which a command learns whose signatures count, and which packages may be used."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedvoxel.export.package import Package
    from fedvoxel.export.trust import Trust

Root = Annotated[
    Path,
    typer.Option(
        "--root",
        envvar="FEDVOXEL_ROOT",
        help="The consortium's root certificate (a kit's startup/rootCA.pem), or the kit.",
        show_default=False,
    ),
]
RevocationList = Annotated[
    Path | None,
    typer.Option(
        "--crl",
        envvar="FEDVOXEL_CRL",
        help="The root's revocation list; by default the crl.pem beside the root, if there is one. Without one nothing "
        "is known of revoked certificates.",
    ),
]

Index = Annotated[
    Path | None,
    typer.Option(
        "--releases",
        envvar="FEDVOXEL_RELEASES",
        help="The index of releases: a withdrawn package is refused, and so is one that the index does not know.",
    ),
]
Unknown = Annotated[
    bool, typer.Option("--allow-unknown", help="Also a package that the index of releases does not know.")
]


def read(root: Path, crl: Path | None) -> "Trust":
    """Returns whose signatures count; see `fedvoxel.export.trust.read_trust`."""
    from fedvoxel.export.trust import read_trust

    return read_trust(root, crl)


def remarks_on_release(package: "Package", index: Path | None, trust: "Trust", allow_unknown: bool) -> tuple[str, ...]:
    """Returns what a reader of every result must know of a package that may be used, one sentence each.

    That is what the index of releases says against it, or that no index was asked. That nobody looked for revoked
    certificates is said on standard error only: it is a matter of the one who gives the command.

    Raises:
        PackageError: It may not be used, or the index is not to be trusted.
    """
    if trust.crl is None:
        typer.echo("note: no revocation list was given (--crl): nobody looked for revoked certificates", err=True)
    return remarks_of_index(package, index, trust, allow_unknown)


def remarks_of_index(package: "Package", index: Path | None, trust: "Trust", allow_unknown: bool) -> tuple[str, ...]:
    """Returns the same, and says nothing on standard error.

    Raises:
        PackageError: It may not be used, or the index is not to be trusted.
    """
    if index is None:
        return ("No index of releases was consulted: nobody looked whether this model was released or withdrawn.",)
    from fedvoxel.export.releases import Releases

    said = package.description
    warning = Releases(index, trust).admit(package.sha256, f"{said.name} {said.version}", allow_unknown)
    return (f"{warning}.",) if warning else ()
