"""`fedvoxel quickstart`: the whole thing on this machine, with the real processes and certificates."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.governance.consortium import Consortium
    from fedvoxel.ops.demo_data import DemoData
    from fedvoxel.ops.snapshot import Snapshot

app = typer.Typer(add_completion=False, help="Run four hospitals and a server on this machine and train one model.")

_EXAMPLE = "Example: fedvoxel quickstart --data ~/scans --full"


@app.command(epilog=_EXAMPLE)
def quickstart(
    data: Annotated[
        Path | None,
        typer.Option(envvar="FEDVOXEL_DATA", help="Folder with the hippocampus set; fetched, or replaced, without."),
    ] = None,
    job: Annotated[
        str | None,
        typer.Option(
            help="hippocampus_fedavg, hippocampus_dp_patient, hippocampus_dp_central, spinal_cord_fedavg or "
            "brain_demo; default: what the data allow."
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Also train local-only and pooled models to compare.")] = False,
    work: Annotated[
        Path | None, typer.Option(help="Where everything that it makes goes; default: work/quickstart in the clone.")
    ] = None,
    clone: Annotated[
        Path, typer.Option(help="The clone of the project, whose jobs/ and provisioning/ it uses.")
    ] = Path(),
) -> None:
    """Provisions a consortium, trains over mutual TLS, and ends with a table, a picture and the paths of what it made.

    It can be repeated: kits, tables and downloads are kept, and every run has a result folder of its own.
    """
    from rich.console import Console

    console = Console()
    started = time.monotonic()
    work = (work or clone / "work" / "quickstart").resolve()
    work.mkdir(parents=True, exist_ok=True)
    # FLARE's tools write a history and settings to the home folder; nothing may be written outside the work folder.
    os.environ["HOME"] = str(work / "home")
    chosen = _prepare_data(console, job, data, work)
    consortium = _provision(console, chosen, work, clone)
    result = _train(console, consortium, [_in_clone(clone, f"jobs/{job}") for job in chosen.jobs])
    _report(console, consortium, chosen, result, full)
    console.print(f"Done in {time.monotonic() - started:.0f} s; nothing is left running.", highlight=False)
    console.print("Next: docs/data_scientist.md runs the same job from FLARE's own admin console.", highlight=False)


def _prepare_data(console: "Console", job: str | None, data: Path | None, work: Path) -> "DemoData":
    from fedvoxel.cli.progress import counting
    from fedvoxel.ops.demo_data import choose_data

    _say(console, "1/4", "data")
    with counting(console, "preparing") as progress:
        return choose_data(job, data, work, lambda text: console.print(f"  {text}", highlight=False), progress)


def _provision(console: "Console", data: "DemoData", work: Path, clone: Path) -> "Consortium":
    from fedvoxel.flare.provisioning import create_consortium
    from fedvoxel.ops.demo_data import describe_cohorts

    _say(console, "2/4", "certificates and startup kits")
    project = _in_clone(clone, f"provisioning/{data.consortium_file}")
    consortium = create_consortium(project, work / data.job, _free_port())
    describe_cohorts(consortium, data, threads=max(1, (os.cpu_count() or 1) // len(data.hospitals)))
    console.print(f"  {len(consortium.sites)} hospitals: {', '.join(consortium.sites)}", highlight=False)
    return consortium


def _train(console: "Console", consortium: "Consortium", folders: Sequence[Path]) -> Path:
    """Runs the jobs one after the other and returns the folder of the last one's downloaded result."""
    from fedvoxel.flare.consortium_processes import running_consortium
    from fedvoxel.ops.demo_run import run_job

    names = ", then ".join(folder.name for folder in folders)
    _say(console, "3/4", f"training {names} over mutual TLS (server and {len(consortium.sites)} sites start first)")
    with running_consortium(consortium.workspace):
        for folder in folders:
            with _screen(console) as show:
                result = run_job(consortium, folder, show)
    return result


@contextmanager
def _screen(console: "Console") -> Iterator[Callable[["Snapshot"], None]]:
    """Yields what shows the run: a live view in a terminal, a line for each round elsewhere."""
    from rich.live import Live

    from fedvoxel.cli.watch_view import render

    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            yield lambda snapshot: live.update(render(snapshot, time.time()), refresh=True)
        return
    shown: set[int] = set()

    def tell(snapshot: "Snapshot") -> None:
        progress = snapshot.progress
        if progress and progress.phase == "training" and progress.round not in shown:
            shown.add(progress.round)
            console.print(f"  round {progress.round + 1} of {progress.rounds_planned}", highlight=False)

    yield tell


def _report(console: "Console", consortium: "Consortium", data: "DemoData", result: Path, full: bool) -> None:
    from fedvoxel.cli.progress import counting
    from fedvoxel.cli.results import show_report
    from fedvoxel.cli.site_score import show_scores
    from fedvoxel.evaluation.own_score import score_at_hospital
    from fedvoxel.ops.demo_report import compare, draw

    _say(console, "4/4", "local-only and pooled models, and the report" if full else "the report")
    baselines: list[Path] = []
    if full:
        with counting(console, "training models to compare with") as progress:
            baselines = compare(consortium, result, progress)
    show_report(console, result, baselines, draw(consortium, result))
    if data.protected:
        # What each hospital would find out by itself; here they all lie on one machine.
        show_scores(console, [score_at_hospital(result, consortium.kit(site)) for site in consortium.sites])


def _say(console: "Console", step: str, text: str) -> None:
    console.print(f"[bold]{step}[/bold] {text}")


def _in_clone(clone: Path, path: str) -> Path:
    from fedvoxel.errors import ConfigError

    found = clone / path
    if not found.exists():
        raise ConfigError(
            f"expected {path} in the clone of the project: run scripts/quickstart there, or name it with --clone"
        )
    return found


def _free_port() -> int:
    """Returns a port on loopback that nobody listens on; the file's own may be in use by a real server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
