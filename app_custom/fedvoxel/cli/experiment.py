"""`fedvoxel experiment`: runs several jobs over the same hospitals and seeds, and says which one to prefer."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.governance.consortium import Consortium
    from fedvoxel.ops.experiment import Experiment, ExperimentJob

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Compare jobs over the same hospitals and seeds.")

_EXAMPLE = (
    "Example: fedvoxel experiment compare jobs/hippocampus_fedavg jobs/hippocampus_scaffold --here --data ~/scans "
    "--out work/fedavg_or_scaffold"
)

_DEMOS = {"hippocampus": "hippocampus_fedavg", "spinal_cord": "spinal_cord_fedavg", "brain_demo": "brain_demo"}
"""The quickstart's job whose data a cohort of that name has."""


@app.callback()
def _experiment() -> None:
    """Keeps `compare` a word of its own."""


@app.command(epilog=_EXAMPLE)
def compare(
    jobs: Annotated[list[Path], typer.Argument(help="Job folders; the first is the one that others are held against.")],
    out: Annotated[Path, typer.Option(help="The experiment's folder; a repeated command runs what is missing in it.")],
    seeds: Annotated[str, typer.Option(help="Seeds, with commas between them.")] = "1,2,3",
    kit: Annotated[
        Path | None, typer.Option(help="The kit of a person who may submit to a running consortium.")
    ] = None,
    site: Annotated[
        list[Path] | None, typer.Option(help="With --kit: a hospital's kit on this machine, for intervals; repeatable.")
    ] = None,
    here: Annotated[bool, typer.Option("--here", help="Set hospitals and a server up on this machine.")] = False,
    data: Annotated[Path | None, typer.Option(envvar="FEDVOXEL_DATA", help="With --here: folder of scans.")] = None,
    references: Annotated[
        bool, typer.Option(help="Train local-only and pooled models where hospitals' kits are at hand.")
    ] = True,
    clone: Annotated[Path, typer.Option(help="With --here: the clone of the project.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON alone.")] = False,
) -> None:
    """Runs every job with every seed, and writes comparison.html, comparison.json and curves.png.

    Refuses jobs that differ in cohort, classes or plan, jobs with a privacy section (they send no scores), and runs
    that were not scored on the same cases. Scores of single cases stay in the folder, for its owner's eyes.
    """
    from rich.console import Console

    from fedvoxel.cli.here import keep_home_inside
    from fedvoxel.ops.experiment import read_jobs

    console = Console(stderr=as_json)
    chosen, wanted = read_jobs(jobs), _read_seeds(seeds)
    _check_place(here, kit, site)
    out = out.resolve()
    keep_home_inside(out)
    if kit is not None:
        experiment = _over_a_consortium(console, chosen, wanted, kit, site or [], out)
    else:
        experiment = _on_this_machine(console, chosen, wanted, data, out, clone)
    _report(console, experiment, references, as_json)


def _check_place(here: bool, kit: Path | None, sites: list[Path] | None) -> None:
    from fedvoxel.errors import ConfigError

    if here == (kit is not None):
        raise ConfigError("expected either --here, or --kit with the kit of a person who may submit jobs")
    if here and sites:
        raise ConfigError("--site goes with --kit: with --here all hospitals are at hand")


def _read_seeds(text: str) -> list[int]:
    from fedvoxel.errors import ConfigError

    try:
        seeds = [int(word) for word in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ConfigError(f"--seeds {text!r}: expected different whole numbers from 0, such as 1,2,3")
    return seeds


def _over_a_consortium(
    console: "Console", jobs: "list[ExperimentJob]", seeds: list[int], kit: Path, sites: list[Path], out: Path
) -> "Experiment":
    from fedvoxel.ops.experiment import Experiment

    experiment = Experiment(jobs, seeds, {site.resolve().name: site.resolve() for site in sites}, out)
    _run(console, experiment, kit)
    return experiment


def _on_this_machine(
    console: "Console", jobs: "list[ExperimentJob]", seeds: list[int], data: Path | None, out: Path, clone: Path
) -> "Experiment":
    from fedvoxel.flare.consortium_processes import running_consortium
    from fedvoxel.ops.experiment import Experiment

    consortium = _set_up(console, jobs[0].task.cohort, data, out, clone)
    experiment = Experiment(jobs, seeds, {name: consortium.kit(name) for name in consortium.sites}, out)
    if experiment.missing:
        with running_consortium(consortium.workspace):
            _run(console, experiment, consortium.kit(consortium.person("lead")))
    return experiment


def _set_up(console: "Console", cohort: str, data: Path | None, out: Path, clone: Path) -> "Consortium":
    from fedvoxel.cli.here import provision
    from fedvoxel.cli.progress import counting
    from fedvoxel.errors import ConfigError
    from fedvoxel.ops.demo_data import choose_data

    if cohort not in _DEMOS:
        known = ", ".join(_DEMOS)
        raise ConfigError(f"--here has data for the cohorts {known}; for {cohort} use --kit with your consortium")
    with counting(console, "preparing data") as progress:
        found = choose_data(_DEMOS[cohort], data, out, lambda said: console.print(said, highlight=False), progress)
    return provision(console, found, out / "consortium", clone)


def _run(console: "Console", experiment: "Experiment", person: Path) -> None:
    from fedvoxel.cli.here import run_screen

    missing = experiment.missing
    for number, (job, seed) in enumerate(missing, start=1):
        console.print(f"run {number} of {len(missing)}: {job.name}, seed {seed}", highlight=False)
        with run_screen(console) as show:
            experiment.run(job, seed, person, show)


def _report(console: "Console", experiment: "Experiment", references: bool, as_json: bool) -> None:
    from fedvoxel.cli.experiment_view import show_comparison
    from fedvoxel.cli.progress import counting
    from fedvoxel.errors import JobError
    from fedvoxel.evaluation.comparison.page import write_comparison

    if references and experiment.kits:
        with counting(console, "training models to compare with") as progress:
            experiment.references.train(progress)
    comparison = experiment.compare()
    try:
        paths = write_comparison(experiment.out, comparison)
    except OSError as error:
        raise JobError(
            f"the comparison cannot be written: {error.strerror}; choose another folder with --out"
        ) from None
    if as_json:
        typer.echo(comparison.model_dump_json(indent=2))
    else:
        show_comparison(console, comparison, paths)
