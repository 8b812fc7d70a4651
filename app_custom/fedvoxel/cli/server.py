"""`fedvoxel server`: runs the consortium's server, and starts it again when it dies."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Run the server, and start it again when it dies.")


@app.callback()
def _server() -> None:
    """Keeps `run` a command of its own, since more will stand beside it."""


@app.command(epilog="Example: fedvoxel server run fl.consortium.example")
def run(
    kit: Annotated[
        Path, typer.Argument(help="The server's kit: the folder with startup/ and local/ in it.", show_default=False)
    ],
) -> None:
    """Checks the server's kit, runs it until it is stopped (Ctrl-C or SIGTERM), and starts it again when it dies.

    Runs that were interrupted go on after their last committed round, without anybody's help: the server submits their
    next attempt itself once their sites are connected again. Exit code 8 when the server dies again and again.
    """
    from fedvoxel.cli.site import check_ready
    from fedvoxel.errors import ConsortiumError
    from fedvoxel.flare.supervision import supervise
    from fedvoxel.governance.kit import open_kit

    opened = open_kit(kit)
    if opened.kind != "server":
        raise ConsortiumError(f"kit {opened.name} is a {opened.kind}'s: run it with fedvoxel site start")
    check_ready(opened)
    console = Console(stderr=True)
    raise typer.Exit(supervise(opened, lambda said: console.print(said, soft_wrap=True, highlight=False)))
