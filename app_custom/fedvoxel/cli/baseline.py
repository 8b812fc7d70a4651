"""`fedvoxel baseline`: trains without the federation, to say what the federation was worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedvoxel.evaluation.baseline import BaselineKind

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Train local-only and pooled models to compare with."
)

ResultArgument = Annotated[Path, typer.Argument(help="The folder that download_job made.", show_default=False)]
OutOption = Annotated[Path | None, typer.Option(help="Folder for the file; default: the job's folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the baseline's path and summary as JSON.")]


@app.command(epilog="Example: fedvoxel baseline local downloads/3c5c62d1 --site kits/hospital-a")
def local(
    result: ResultArgument,
    site: Annotated[Path, typer.Option(help="The hospital's kit.", show_default=False)],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trains the job's network on one hospital's own cases and scores it beside the federated model.

    Runs at the hospital: the file holds scores of single cases, by pseudonym, and stays there.
    """
    _run("local", result, [site], out, as_json)


@app.command(
    epilog="Example: fedvoxel baseline pooled downloads/3c5c62d1 --site kits/hospital-a --site kits/hospital-b"
)
def pooled(
    result: ResultArgument,
    site: Annotated[list[Path], typer.Option(help="A hospital's kit; repeat for each.", show_default=False)],
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trains the job's network on all hospitals' cases together, where they lie in one place."""
    _run("pooled", result, site, out, as_json)


def _run(kind: "BaselineKind", result: Path, sites: list[Path], out: Path | None, as_json: bool) -> None:
    import json

    from rich.console import Console

    from fedvoxel.cli.progress import counting
    from fedvoxel.evaluation.make_baseline import make_baseline

    console = Console(stderr=as_json)
    with counting(console, f"{kind} training, rounds") as progress:
        path = make_baseline(kind, result, sites, out, lambda done, total, loss: progress(done, total))
    if as_json:
        typer.echo(json.dumps({"baseline": str(path)}))
        return
    console.print(f"Wrote {path}", soft_wrap=True, highlight=False)
    console.print(f"Next: fedvoxel results {result} --baseline {path}", soft_wrap=True, highlight=False)
