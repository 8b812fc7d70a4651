"""`fedvoxel evaluate`: judges a signed model on a hospital's own cases, before anybody relies on it."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedvoxel.cli import evaluate_options as option
from fedvoxel.cli.evaluate_source import against_of, cohort_name, opened_model, split_of, subjects_of
from fedvoxel.cli.evaluate_view import show
from fedvoxel.cli.trust_options import Index, RevocationList, Root, Unknown, read, remarks_on_release

if TYPE_CHECKING:
    from fedvoxel.evaluation.judgement.run import Task

app = typer.Typer(add_completion=False, help="Judge a signed model on a hospital's own cases.")

EPILOG = (
    "Examples: fedvoxel evaluate hippocampus-1.0.0.fvpkg hippocampus --site hospital-a/local/fedvoxel_site.json --root "
    "hospital-a; is it as good as the one before: fedvoxel evaluate hippocampus-1.1.0.fvpkg "
    "hippocampus --site ... --root ... --against hippocampus-1.0.0.fvpkg --margin 0.02"
)


@app.command(epilog=EPILOG)
def evaluate(
    package: option.PackageFile,
    root: Root,
    cohort: option.Cohort = None,
    site: option.Sites = None,
    crl: RevocationList = None,
    releases: Index = None,
    allow_unknown: Unknown = False,
    out: option.Out = None,
    split: option.WhichSplit = "test",
    images: option.Images = None,
    labels: option.Labels = None,
    tolerance_mm: option.Tolerance = None,
    pieces: option.PieceNames = None,
    minimum_patients: option.MinimumPatients = 5,
    against: option.OtherPackage = None,
    reader: option.Reader = None,
    metric: option.WhichMetric = "dice",
    margin: option.Margin = None,
    worst: option.Worst = 8,
    pdf: option.OnPaper = True,
    memory_mb: option.Memory = 4096,
    threads: option.Threads = None,
    as_json: option.AsJson = False,
) -> None:
    """Judge a model on cases with a known truth: Dice, surfaces, volumes, confidence, subgroups, worst cases.

    For research use only. A missed structure counts with the worst score. The report shows scans and stays in the
    hospital; to_share.json is what a person may hand on. A case that cannot be judged is told and passed over.

    Exit codes: 0; 3 if a file or option is wrong, or another margin was stated before; 5 if the cohort cannot be used;
    8 or 17 if the package is not to be trusted; 12 if the record of margins cannot be; and if a case could not be
    judged, after the report was written, that of the first one: 4 or 18; 18 too if a model failed on a case.
    """
    _evaluate(option.Options(**locals()))


def _evaluate(asked: option.Options) -> None:
    from rich.console import Console

    from fedvoxel.cli.progress import counting
    from fedvoxel.evaluation.judgement.run import evaluate
    from fedvoxel.evaluation.judgement.writing import prepare, write_judgement

    console, task = Console(stderr=True), _task(asked)
    folder = prepare(asked.out or _folder(task), asked.pdf)
    with counting(console, "judging cases") as progress:
        judgement, views = evaluate(task, progress)
    with console.status("writing the report"):
        written = write_judgement(judgement, views, folder, asked.pdf)
    show(judgement, written, asked.as_json)
    reasons = [one.reason for one in judgement.skipped]
    reasons += [reason for case in judgement.cases for reason in (case.failure, case.other_failure) if reason]
    if reasons:
        raise typer.Exit(_exit_code(reasons[0]))


def _task(asked: option.Options) -> "Task":
    from fedvoxel.evaluation.judgement.run import Task

    trust = read(asked.root, asked.crl)
    model = opened_model(asked.package, trust, asked)
    remarks = remarks_on_release(model.package, asked.releases, trust, asked.allow_unknown)
    subjects = subjects_of(asked, model)
    other = opened_model(asked.against, trust, asked) if asked.against else None
    return Task(
        model=model,
        subjects=subjects,
        cohort=cohort_name(asked),
        split=split_of(asked),
        tolerance_mm=asked.tolerance_mm,
        pieces=frozenset(asked.pieces or ()),
        minimum_patients=asked.minimum_patients,
        pictured=asked.worst,
        against=against_of(asked, other),
        remarks=remarks,
    )


def _folder(task: "Task") -> Path:
    said = task.model.package.description
    return Path(f"evaluation-{said.name}-{said.version}")


def _exit_code(reason: str) -> int:
    """Returns the code of a case that was not judged."""
    from fedvoxel.errors import GeometryError, PredictionError
    from fedvoxel.evaluation.inference.refusal import REASONS

    return PredictionError.exit_code if reason in REASONS else GeometryError.exit_code
