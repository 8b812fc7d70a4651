"""The options that the commands of `fedvoxel release` share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.cli.trust_options import read

if TYPE_CHECKING:
    from fedvoxel.export.publishing import Publisher
    from fedvoxel.export.reader_gate import ReaderStudyGate

Index = Annotated[Path, typer.Argument(metavar="INDEX", help="The folder of the index.", show_default=False)]
Kit = Annotated[Path, typer.Option("--sign", help="The kit of the person who signs.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, for those who will read it.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]
SeenFile = Annotated[
    Path | None, typer.Option(help="Where to remember what was seen; a file in your state folder by default.")
]


def publisher(index: Path, sign: Path, crl: Path | None, seen: Path | None, gate: "ReaderStudyGate") -> "Publisher":
    """Returns who writes to an index.

    Raises:
        ConsortiumError: The kit, or the revocation list, cannot be used.
    """
    from fedvoxel.export.publishing import Publisher
    from fedvoxel.records.identity import load_identity

    return Publisher(index, load_identity(sign / "startup"), read(sign, crl), seen, gate)
