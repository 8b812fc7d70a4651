"""`fedvoxel cohort`: lists which scans a site can use, which it cannot, and what the site would tell of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from fedvoxel.cli import (
    cohort_build,
    cohort_conformance,
    cohort_deidentify,
    cohort_exclude,
    cohort_report,
    cohort_show,
)
from fedvoxel.errors import CohortError

if TYPE_CHECKING:
    from fedvoxel.volumes.check import CohortReport, UsableCase
    from fedvoxel.volumes.check import Progress as OnProgress
    from fedvoxel.volumes.site import SiteConfig

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="List which scans a site can use, which it cannot, and why."
)

SiteOption = Annotated[Path, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")]
ClassesOption = Annotated[
    str | None, typer.Option("--classes", help="The job's classes, comma-separated; all of the cohort's by default.")
]


@app.callback()
def _cohort() -> None:
    """List which scans a site can use, which it cannot, and why."""


@app.command(epilog="Example: fedvoxel cohort check --site hospital-a/local/fedvoxel_site.json --cohort hippocampus")
def check(
    site: SiteOption,
    cohort: Annotated[str | None, typer.Option("--cohort", help="One cohort; every cohort by default.")] = None,
    classes: ClassesOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="Write which pseudonym is which file (mode 0600); keep it in the hospital."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail (exit code 5) if any case is refused.")] = False,
) -> None:
    """Read every case of a cohort and say what is usable, what is not, why, and what to do.

    Exit codes: 0 if each cohort has a usable case (refused ones are warned of; --strict fails instead);
    3 if the site's file is wrong; 5 if a cohort is unknown, cannot be listed, or has no usable case.
    """
    from fedvoxel.volumes.check import check_cohort
    from fedvoxel.volumes.key_file import write_key_file
    from fedvoxel.volumes.site import load_site_config

    config = load_site_config(site)
    names = _names(config, cohort)
    reports = {}
    for name in names:
        with _bar(f"reading {name}", quiet=as_json) as progress:
            reports[name] = check_cohort(config, name, _split(classes), site.parent, progress)
    if as_json:
        shown = {"schema_version": 1, "cohorts": {name: asdict(report) for name, report in reports.items()}}
        typer.echo(json.dumps(shown, indent=2))
    else:
        _show(reports, Console())
    if key_file is not None:
        write_key_file(config, names, site.parent, key_file)
    _judge(reports, strict)


@app.command(epilog="Example: fedvoxel cohort statistics --site hospital-a/local/fedvoxel_site.json")
def statistics(
    site: SiteOption,
    cohort: Annotated[str | None, typer.Option("--cohort", help="The cohort; needed if there are several.")] = None,
    classes: ClassesOption = None,
    minimum_cases: Annotated[
        int, typer.Option("--minimum-cases", min=1, help="No number is about fewer cases than this.")
    ] = 5,
) -> None:
    """Print a cohort's statistics as JSON, exactly as a cohort_statistics job would send them."""
    from fedvoxel.volumes.site import load_site_config
    from fedvoxel.volumes.statistics import site_statistics

    config = load_site_config(site)
    names = _names(config, cohort)
    if len(names) > 1:
        raise CohortError(f"expected one cohort, this site has {', '.join(names)}; choose one with --cohort")
    with _bar(f"reading {names[0]}", quiet=False) as progress:
        sent = site_statistics(config, names[0], _split(classes), site.parent, minimum_cases, progress)
    typer.echo(json.dumps(sent, indent=2))


app.command(epilog=cohort_build.EPILOG)(cohort_build.build)
app.command(epilog=cohort_conformance.EPILOG)(cohort_conformance.conformance)
app.command(epilog=cohort_deidentify.EPILOG)(cohort_deidentify.deidentify)
app.command(epilog=cohort_show.EPILOG)(cohort_show.show)
app.command(epilog=cohort_report.EPILOG)(cohort_report.report)
app.command(epilog=cohort_exclude.EXCLUDE_EXAMPLE)(cohort_exclude.exclude)
app.command(epilog=cohort_exclude.LIST_EXAMPLE)(cohort_exclude.exclusions)


def _names(config: "SiteConfig", cohort: str | None) -> tuple[str, ...]:
    names = tuple(config.cohorts) if cohort is None else (cohort,)
    if not names:
        raise CohortError('the site\'s file describes no cohort; add one under "cohorts"')
    return names


def _split(classes: str | None) -> tuple[str, ...] | None:
    return None if classes is None else tuple(name.strip() for name in classes.split(","))


@contextmanager
def _bar(text: str, quiet: bool) -> "Iterator[OnProgress]":
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(text, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(reports: "dict[str, CohortReport]", console: Console) -> None:
    for name, report in reports.items():
        console.print(_usable_table(name, report))
        if report.refused:
            console.print(_refused_table(name, report))


def _usable_table(name: str, report: "CohortReport") -> Table:
    usable = report.usable
    table = Table(title=f"{name}: {len(usable)} usable, {len(report.refused)} refused", title_justify="left")
    for heading in ("split", "cases", "shape", "spacing (mm)", "voxels per class (median)"):
        table.add_column(heading, justify="right" if heading == "cases" else "left")
    for split, count in report.usable_per_split.items():
        chosen = [case for case in usable if case.split == split]
        table.add_row(split, str(count), *(_summary(chosen) if chosen else ("", "", "")))
    return table


def _summary(cases: "list[UsableCase]") -> tuple[str, str, str]:
    axes = range(3)
    shapes = [_span([case.shape[axis] for case in cases], "d") for axis in axes]
    spacings = [_span([case.spacing_mm[axis] for case in cases], ".2f") for axis in axes]
    medians = {
        name: sorted(case.voxels_per_class[name] for case in cases)[len(cases) // 2]
        for name in cases[0].voxels_per_class
    }
    return " x ".join(shapes), " x ".join(spacings), ", ".join(f"{name} {count}" for name, count in medians.items())


def _span(values: "list[int] | list[float]", style: str) -> str:
    low, high = format(min(values), style), format(max(values), style)
    return low if low == high else f"{low}..{high}"


def _refused_table(name: str, report: "CohortReport") -> Table:
    table = Table(title=f"{name}: refused", title_justify="left")
    table.add_column("case", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    table.add_column("what was found; what to do")
    for refusal in report.refused:
        table.add_row(refusal.case, refusal.reason, refusal.message)
    return table


def _judge(reports: "dict[str, CohortReport]", strict: bool) -> None:
    empty = [name for name, report in reports.items() if not report.usable]
    if empty:
        counts = "; ".join(f"{name}: {_reasons(reports[name])}" for name in empty)
        raise CohortError(f"no usable case in {counts}")
    refused = {name: report for name, report in reports.items() if report.refused}
    if not refused:
        return
    counts = "; ".join(f"{name}: {_reasons(report)}" for name, report in refused.items())
    if strict:
        raise CohortError(f"refused cases in {counts}")
    Console(stderr=True, soft_wrap=True).print(
        f"warning: refused cases in {counts}; the others are used. --key-file tells which files they are",
        style="yellow",
    )


def _reasons(report: "CohortReport") -> str:
    counts = report.refused_per_reason
    return ", ".join(f"{count} x {reason}" for reason, count in counts.items()) or "the list is empty"
