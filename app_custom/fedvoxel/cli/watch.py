"""`fedvoxel watch`: shows a job while it runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedvoxel.ops.snapshot import Snapshot

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Show rounds, sites, Dice and time left while a job runs."
)

_EXAMPLE = "Example: fedvoxel watch 3c5c62d1-6b7d-4f0e-a1f7-2b1f6d1e8a11 --kit kits/scientist@consortium.example"


@app.command(epilog=_EXAMPLE)
def watch(
    job_id: Annotated[str, typer.Argument(help="The id that submit_job gave.")],
    kit: Annotated[Path, typer.Option(help="The startup kit of a person who may look at the job.")],
    user: Annotated[str | None, typer.Option(help="The user's name; default: the one that the kit is for.")] = None,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, then end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON per look.")] = False,
) -> None:
    """Shows rounds, sites, Dice and time left until the job ends. Ctrl-C stops watching, not the job.

    Where the job was interrupted and the server goes on with its run, the job that does is watched next. A server that
    is gone is tried again for ten minutes.
    """
    from fedvoxel.ops.job_session import looks

    with closing(looks(kit, user, job_id, interval)) as seen, _screen(as_json) as show:
        for snapshot in seen:
            show(snapshot)
            if once:
                return


@contextmanager
def _screen(as_json: bool) -> Iterator[Callable[["Snapshot"], None]]:
    if as_json:
        yield lambda snapshot: typer.echo(snapshot.to_json())
        return
    from rich.console import Console
    from rich.live import Live

    from fedvoxel.cli.watch_view import render

    console = Console()
    if not console.is_terminal:
        yield lambda snapshot: console.print(render(snapshot, time.time()))
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda snapshot: live.update(render(snapshot, time.time()), refresh=True)
