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
        help="The root's revocation list. Without one nothing is known of revoked certificates.",
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


def warning_of(package: "Package", index: Path | None, trust: "Trust", allow_unknown: bool) -> str | None:
    """Returns what the index of releases says against a package that may be used; None where there is no index.

    Raises:
        PackageError: It may not be used, or the index is not to be trusted.
    """
    if index is None:
        return None
    from fedvoxel.export.releases import Releases

    said = package.description
    return Releases(index, trust).admit(package.sha256, f"{said.name} {said.version}", allow_unknown)
