"""`fedvoxel cohort build`: makes a cohort out of DICOM, from a folder or a PACS, as the site's own file says."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from fedvoxel.errors import CohortError, ConfigError

if TYPE_CHECKING:
    from fedvoxel.volumes.cohort.build import BuildReport
    from fedvoxel.volumes.cohort.records import BuildProgress

EPILOG = "Example: fedvoxel cohort build --site hospital-a/local/fedvoxel_site.json --cohort liver"


def build(
    site: Annotated[Path, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")],
    cohort: Annotated[str, typer.Option("--cohort", help="The cohort; its description says how it is built.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file", help="Write which case is which series and patient (mode 0600); keep it in the hospital."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, help="Cases built at once; what cores and memory allow by default."),
    ] = None,
) -> None:
    """Build a cohort from DICOM: de-identified, checked, paired with its labels, with a manifest of hashes.

    It can be stopped at any time (Ctrl-C, a power cut) and run again: finished cases are kept, and the result is the
    same as in one go. Cases whose source or settings changed are built again; those that the source no longer has
    leave the cohort.

    Exit codes: 0 if the cohort has a case (refused ones are listed); 3 if the site's file is wrong or packages are
    missing; 5 if the cohort is not described as one to build, has no case, is being built by another process, or the
    disk is full; 15 if the folder cannot be read or the PACS does not answer; 130 if it was interrupted.
    """
    report = _built(site, cohort, workers, quiet=as_json)
    _tell(cohort, report, key_file, as_json)
    if not report.manifest.cases:
        counts = ", ".join(f"{count} x {reason}" for reason, count in report.refused_per_reason.items())
        raise CohortError(f"no case of {cohort} could be built: {counts}")
    if not as_json:
        _say_what_next(site, cohort)


def _built(site: Path, cohort: str, workers: int | None, quiet: bool) -> "BuildReport":
    from fedvoxel.volumes.site import load_site_config

    try:
        from fedvoxel.volumes.cohort.build import build_cohort
    except ImportError:
        raise ConfigError("DICOM needs more packages; install them with: pip install '.[site,dicom]'") from None
    config = load_site_config(site)
    try:
        with _progress(cohort, quiet) as on_progress:
            return build_cohort(config, cohort, site.parent, workers, on_progress)
    except KeyboardInterrupt:
        typer.echo("interrupted: finished cases are kept; run the same command again to go on", err=True)
        raise


def _tell(cohort: str, report: "BuildReport", key_file: Path | None, as_json: bool) -> None:
    from fedvoxel.volumes.cohort.origins import write_origins

    if key_file is not None:
        write_origins(report, key_file)
    if as_json:
        typer.echo(json.dumps(_as_json(cohort, report), indent=2))
    else:
        _show(cohort, report, Console())


@contextmanager
def _progress(cohort: str, quiet: bool) -> "Iterator[Callable[[BuildProgress], None]]":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        files = bars.add_task(f"{cohort}: files read", total=None, visible=False)
        pulled = bars.add_task(f"{cohort}: series pulled", total=None, visible=False)
        cases = bars.add_task(f"{cohort}: cases", total=None)

        def show(now: "BuildProgress") -> None:
            for task, (done, total) in ((files, now.files), (pulled, now.pulled)):
                bars.update(task, completed=done, total=total, visible=total > 0)
            text = f"{cohort}: {now.built} built, {now.reused} kept, {now.refused} refused"
            done = now.built + now.reused + now.refused
            bars.update(cases, description=text, completed=done, total=now.known or None)

        yield show


def _as_json(cohort: str, report: "BuildReport") -> dict[str, Any]:
    manifest = report.manifest
    return {
        "schema_version": 1,
        "cohort": cohort,
        "cohort_sha256": manifest.cohort_sha256,
        "cases": len(manifest.cases),
        "cases_per_split": _per_split(report),
        "built": report.built,
        "kept": report.reused,
        "dropped": report.dropped,
        "refused_per_reason": report.refused_per_reason,
        "files_refused": manifest.files_refused,
        "refused": [entry.model_dump() for entry in manifest.refused],
    }


def _per_split(report: "BuildReport") -> dict[str, int]:
    counts = Counter(entry.split for entry in report.manifest.cases)
    return {split: counts[split] for split in ("training", "validation", "test")}


def _show(cohort: str, report: "BuildReport", console: Console) -> None:
    from fedvoxel.dicom.faults import REMEDIES

    manifest = report.manifest
    table = Table(title=f"{cohort}: {len(manifest.cases)} cases, {len(manifest.refused)} refused", title_justify="left")
    table.add_column("cases", justify="right")
    table.add_column("outcome", no_wrap=True)
    table.add_column("what to do", overflow="fold")
    for split, count in _per_split(report).items():
        table.add_row(str(count), split, "")
    for reason, count in report.refused_per_reason.items():
        messages = sorted({entry.message for entry in manifest.refused if entry.reason == reason})
        table.add_row(str(count), reason, messages[0] + (" (and others)" if len(messages) > 1 else ""))
    console.print(table)
    console.print(
        f"{report.built} built now, {report.reused} kept from before, {report.dropped} no longer in the source"
    )
    for reason, count in manifest.files_refused.items():
        remedy = f"; {REMEDIES[reason]}" if reason in REMEDIES else ""
        console.print(f"{count} source files not used: {reason}{remedy}", markup=False, soft_wrap=True)
    console.print(f"cohort {manifest.cohort_sha256}", soft_wrap=True)


def _say_what_next(site: Path, cohort: str) -> None:
    console = Console(stderr=True, soft_wrap=True)
    options = f"--site {site} --cohort {cohort}"
    console.print(f"look at it: fedvoxel cohort show {options}", markup=False)
    console.print(f"check it: fedvoxel cohort check {options}", markup=False)
