"""`fedvoxel results`: turns a downloaded job into a report that people and programs read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fedvoxel.evaluation.figures import Picture
    from fedvoxel.evaluation.report import Report, ReportPaths

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Report on a finished job.")

_EXAMPLE = "Example: fedvoxel results downloads/3c5c62d1 --baseline runs/baseline_local_hospital-a.json"


@app.command(epilog=_EXAMPLE)
def results(
    job: Annotated[Path, typer.Argument(help="The folder that download_job made, its workspace, or its parent.")],
    baseline: Annotated[
        list[Path] | None, typer.Option(help="A file of `fedvoxel baseline` to compare with; may be repeated.")
    ] = None,
    picture: Annotated[list[Path] | None, typer.Option(help="A PNG to show in the report; may be repeated.")] = None,
    audit: Annotated[
        list[Path] | None,
        typer.Option(help="An audit.json of `fedvoxel privacy audit`; default: the one in the job's folder, if any."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the report; default: report/ in the job's folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON alone.")] = False,
) -> None:
    """Writes report.html and report.json, and prints the scores and what each hospital gained.

    Of a reader study it prints what the hospitals' readers said, of a drift watch which hospitals drift; there is no
    other report. Exit code 28 for drift.
    """
    from rich.console import Console

    from fedvoxel.errors import DriftError
    from fedvoxel.federation.drift.result import DriftWatchResult, find_watch
    from fedvoxel.federation.reader_study.result import find_result

    if found := find_result(job) or find_watch(job):
        typer.echo(found.model_dump_json(indent=2) if as_json else "\n".join(found.says))
        if isinstance(found, DriftWatchResult) and found.verdict == "drift":
            raise DriftError("a model in use has met other images; see docs/drift.md for what to do")
        return

    if as_json:
        report, _ = make_report(job, baseline or (), picture or (), out, audit or ())
        typer.echo(report.model_dump_json(indent=2))
    else:
        show_report(Console(), job, baseline or (), picture or (), out, audit or ())


def show_report(
    console: "Console",
    job: Path,
    baselines: Sequence[Path] = (),
    pictures: Sequence[Path] = (),
    out: Path | None = None,
    audits: Sequence[Path] = (),
) -> None:
    """Makes a job's report and prints what it says and where it is; see `make_report`."""
    _print(console, *make_report(job, baselines, pictures, out, audits))


def make_report(
    job: Path,
    baselines: Sequence[Path] = (),
    pictures: Sequence[Path] = (),
    out: Path | None = None,
    audits: Sequence[Path] = (),
) -> tuple["Report", "ReportPaths"]:
    """Writes the report of a downloaded job.

    Args:
        job: The job's folder, its workspace, or a folder that holds this job alone.
        baselines: Files of `fedvoxel baseline`.
        pictures: PNG files to show.
        out: The report's folder; None for `report` in the job's folder.
        audits: Files of `fedvoxel privacy audit`; where none is given, the one in the job's folder, if there is one.

    Raises:
        JobError: There is no outcome, a picture is not a PNG, or the folder cannot be written.
        ConfigError: The outcome, a baseline or an audit cannot be used.
    """
    from fedvoxel.evaluation.attacks.findings import AUDIT_FILE, load_audit
    from fedvoxel.evaluation.baseline import load_baseline
    from fedvoxel.evaluation.job_result import model_warnings, open_job_result
    from fedvoxel.evaluation.report import build_report

    result = open_job_result(job)
    lying = result.folder / AUDIT_FILE
    found = [load_audit(path) for path in audits or ([lying] if lying.is_file() else [])]
    compared = [load_baseline(path) for path in baselines]
    report = build_report(result.outcome, compared, model_warnings(result), found)
    shown = [_read_picture(path) for path in pictures]
    return report, _write(out or result.folder / "report", report, shown)


def _read_picture(path: Path) -> "Picture":
    from fedvoxel.errors import JobError
    from fedvoxel.evaluation.figures import Picture

    try:
        content = path.read_bytes()
    except OSError as error:
        raise JobError(f"the picture {path} cannot be read: {error.strerror}") from None
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise JobError(f"the picture {path} is not a PNG file: give a PNG")
    title = path.stem.replace("_", " ").capitalize()
    return Picture(title, f"Picture {path.name}.", content, shows_scan=True)


def _write(folder: Path, report: "Report", shown: list["Picture"]) -> "ReportPaths":
    from fedvoxel.errors import JobError
    from fedvoxel.evaluation.charts import illustrate
    from fedvoxel.evaluation.report import write_report

    try:
        return write_report(folder, report, illustrate(report, shown))
    except OSError as error:
        raise JobError(
            f"the report cannot be written to {folder}: {error.strerror}; choose another with --out"
        ) from None


def _print(console: "Console", report: "Report", paths: "ReportPaths") -> None:
    from rich.markup import escape

    console.print(f"[bold]{escape(report.run.job_name)}[/bold]  {escape(report.headline)}")
    if report.rows:
        console.print(_table(report))
    for gain in report.gains:
        if gain.class_name is None:
            console.print(escape(gain.sentence), highlight=False)
    for caveat in report.caveats:
        console.print(f"[yellow]![/yellow] {escape(caveat)}", highlight=False)
    _print_privacy(console, report)
    console.print(
        f"Report: {escape(str(paths.html))}\n        {escape(str(paths.json))}", soft_wrap=True, highlight=False
    )


def _print_privacy(console: "Console", report: "Report") -> None:
    from rich.markup import escape

    run = report.run
    console.print(f"Privacy: {escape(run.privacy.rstrip('.'))}.", highlight=False)
    if run.start_from:
        console.print(
            f"It began with {escape(run.start_from.words)}: {escape(run.start_from.privacy)}",
            highlight=False,
        )
    for channel in run.channels:
        if channel.status == "open":
            console.print(f"  open: {escape(channel.name)}, {escape(channel.why)}", highlight=False)


def _table(report: "Report") -> "Table":
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from fedvoxel.evaluation.page import MODEL_TITLES, dice_text, distance_text

    table = Table(
        title="Unseen cases: mean Dice (95 % interval), median HD95 in mm", title_justify="left", box=box.SIMPLE
    )
    for heading in ("hospital", "class", "model", "Dice"):
        table.add_column(heading)
    table.add_column("HD95", justify="right")
    table.add_column("cases", justify="right")
    above: tuple[str, str] | None = None
    for row in sorted(report.rows, key=lambda row: (row.site, row.class_name, list(MODEL_TITLES).index(row.model))):
        key = (row.site, row.class_name)
        names = ("", "") if key == above else (escape(row.site), escape(row.class_name))
        model = MODEL_TITLES[row.model].lower()
        table.add_row(*names, model, dice_text(row.score), distance_text(row.score), str(row.score.cases))
        above = key
    return table
