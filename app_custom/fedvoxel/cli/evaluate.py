"""`fedvoxel evaluate`: judges a signed model on a hospital's own cases, before anybody relies on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedvoxel.cli.evaluate_source import AskedCases, AskedOther, against_of, cohort_name, subjects_of
from fedvoxel.cli.evaluate_view import show
from fedvoxel.cli.trust_options import RevocationList, Root, read

if TYPE_CHECKING:
    from fedvoxel.evaluation.judgement.run import Task

app = typer.Typer(add_completion=False, help="Judge a signed model on a hospital's own cases.")

EPILOG = (
    "Examples: fedvoxel evaluate hippocampus-1.0.0.fvpkg hippocampus --site hospital-a/local/fedvoxel_site.json --root "
    "hospital-a/startup/rootCA.pem; is it as good as the one before: fedvoxel evaluate hippocampus-1.1.0.fvpkg "
    "hippocampus --site ... --root ... --against hippocampus-1.0.0.fvpkg --margin 0.02"
)
_LEAST_MB = 512


@app.command(epilog=EPILOG)
def evaluate(
    package: Annotated[Path, typer.Argument(help="The signed package: NAME-VERSION.fvpkg.", show_default=False)],
    root: Root,
    cohort: Annotated[
        str | None, typer.Argument(help="A cohort of the site's file; or give --images and --labels.")
    ] = None,
    site: Annotated[
        list[Path] | None,
        typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json. May be repeated."),
    ] = None,
    crl: RevocationList = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder (mode 0700) for the report; evaluation-NAME-VERSION here.")
    ] = None,
    split: Annotated[
        Literal["test", "validation", "training", "all"], typer.Option("--split", help="Which patients.")
    ] = "test",
    images: Annotated[Path | None, typer.Option("--images", help="A folder of NIfTI images, without a cohort.")] = None,
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Their labels, of the same names, in the model's codes.")
    ] = None,
    tolerance_mm: Annotated[
        float | None,
        typer.Option("--tolerance-mm", min=0.01, max=50, help="What NSD lets pass; one voxel of the model's images."),
    ] = None,
    pieces: Annotated[
        list[str] | None,
        typer.Option("--pieces", help="A structure that comes in pieces, such as lesions."),
    ] = None,
    minimum_patients: Annotated[
        int, typer.Option("--minimum-patients", min=5, help="No subgroup is of fewer patients.")
    ] = 5,
    against: Annotated[Path | None, typer.Option("--against", help="Compare with this package.")] = None,
    reader: Annotated[
        str | None,
        typer.Option("--reader", help="Compare with a second reader: a cohort, or a folder of labels."),
    ] = None,
    metric: Annotated[Literal["dice", "nsd"], typer.Option("--metric", help="What is compared.")] = "dice",
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            min=0.0001,
            max=0.5,
            help="How much worse is still good enough; stands once there is a result.",
        ),
    ] = None,
    worst: Annotated[int, typer.Option("--worst", min=0, max=100, help="Show slices of so many cases.")] = 8,
    pdf: Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also write the report as PDF.")] = True,
    memory_mb: Annotated[
        int, typer.Option("--memory-mb", min=_LEAST_MB, help="Most memory that this may take, in MiB.")
    ] = 4096,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use; all by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print evaluation.json on standard output, too.")] = False,
) -> None:
    """Judge a model on cases with a known truth: Dice, surfaces, volumes, confidence, subgroups, worst cases.

    For research use only. A missed structure counts with the worst score. The report shows scans and stays in the
    hospital; to_share.json is what a person may hand on. A case that cannot be judged is told and passed over.

    Exit codes: 0; 3 if a file or option is wrong, or another margin was stated before; 5 if the cohort cannot be used;
    8 or 17 if the package is not to be trusted; 12 if the record of margins cannot be; and if a case could not be
    judged, after the report was written, that of the first one: 4 or 18.
    """
    from rich.console import Console

    from fedvoxel.cli.evaluate_model import opened_model
    from fedvoxel.cli.progress import counting
    from fedvoxel.evaluation.judgement.run import Task, evaluate
    from fedvoxel.evaluation.judgement.writing import prepare, write_judgement

    trust, console = read(root, crl), Console(stderr=True)
    model = opened_model(package, trust, memory_mb, threads)
    asked = AskedCases(cohort, tuple(site or ()), None if split == "all" else split, images, labels, reader)
    subjects = subjects_of(asked, model)
    other = opened_model(against, trust, memory_mb, threads) if against else None
    task = Task(
        model=model,
        subjects=subjects,
        cohort=cohort_name(asked),
        split=None if asked.images else asked.split,
        tolerance_mm=tolerance_mm,
        pieces=frozenset(pieces or ()),
        minimum_patients=minimum_patients,
        pictured=worst,
        against=against_of(asked, AskedOther(other, reader, metric, margin)),
    )
    folder = prepare(out or _folder(task), pdf)
    with counting(console, "judging cases") as progress:
        judgement, views = evaluate(task, progress)
    with console.status("writing the report"):
        written = write_judgement(judgement, views, folder, pdf)
    show(judgement, written, as_json)
    _exit(judgement.skipped[0].reason if judgement.skipped else None)


def _folder(task: "Task") -> Path:
    said = task.model.package.description
    return Path(f"evaluation-{said.name}-{said.version}")


def _exit(reason: str | None) -> None:
    """Ends with the code of the first case that was not judged."""
    from fedvoxel.errors import GeometryError, PredictionError
    from fedvoxel.evaluation.inference.refusal import REASONS

    if reason is not None:
        raise typer.Exit(PredictionError.exit_code if reason in REASONS else GeometryError.exit_code)
