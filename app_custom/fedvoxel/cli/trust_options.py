"""The options by which a command learns whose signatures count."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
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


def read(root: Path, crl: Path | None) -> "Trust":
    """Returns whose signatures count; see `fedvoxel.export.trust.read_trust`."""
    from fedvoxel.export.trust import read_trust

    return read_trust(root, crl)
