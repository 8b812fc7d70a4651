"""`fedvoxel quickstart`: the whole thing on this machine, with the real processes and certificates."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.cli.here import in_clone, keep_home_inside, provision, run_screen

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.governance.consortium import Consortium
    from fedvoxel.ops.demo_data import DemoData

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
            help="hippocampus_fedavg, hippocampus_secure, hippocampus_dp_patient, hippocampus_dp_shared, "
            "hippocampus_dp_central, spinal_cord_fedavg or brain_demo; default: what the data allow."
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
    keep_home_inside(work)
    chosen = _prepare_data(console, job, data, work)
    _say(console, "2/4", "certificates and startup kits")
    consortium = provision(console, chosen, work, clone)
    result = _train(console, consortium, [in_clone(clone, f"jobs/{job}") for job in chosen.jobs])
    _report(console, consortium, chosen, result, full)
    console.print(f"Done in {time.monotonic() - started:.0f} s; nothing is left running.", highlight=False)
    for line in how_to_go_on(consortium, result):
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def how_to_go_on(consortium: "Consortium", result: Path) -> tuple[str, ...]:
    """Says where everything lies and how it is started again: the pages that are read next need kits and a server."""
    workspace, lead = consortium.workspace, consortium.person("lead")
    return (
        f"The result: {result}",
        f"The kits: {consortium.folder}, of {', '.join(consortium.sites)} and of {lead}, who submits jobs",
        f"Start the server and the hospitals again: fedvoxel consortium start {workspace}",
        f"Stop them: fedvoxel consortium stop {workspace}",
        "Next: docs/data_scientist.md runs the same job from FLARE's own admin console.",
    )


def _prepare_data(console: "Console", job: str | None, data: Path | None, work: Path) -> "DemoData":
    from fedvoxel.cli.progress import counting
    from fedvoxel.ops.demo_data import choose_data

    _say(console, "1/4", "data")
    with counting(console, "preparing") as progress:
        return choose_data(job, data, work, lambda text: console.print(f"  {text}", highlight=False), progress)


def _train(console: "Console", consortium: "Consortium", folders: Sequence[Path]) -> Path:
    """Runs the jobs one after the other and returns the folder of the last one's downloaded result."""
    from fedvoxel.flare.consortium_processes import running_consortium
    from fedvoxel.ops.demo_run import run_job

    names = ", then ".join(folder.name for folder in folders)
    _say(console, "3/4", f"training {names} over mutual TLS (server and {len(consortium.sites)} sites start first)")
    with running_consortium(consortium.workspace):
        for folder in folders:
            with run_screen(console) as show:
                result = run_job(consortium, folder, show)
    return result


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
