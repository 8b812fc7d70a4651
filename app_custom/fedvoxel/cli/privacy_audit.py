"""`fedvoxel privacy audit`: attacks a finished job at the hospital, to see what its model and updates give away."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.evaluation.attacks.audit import Audited

AUDIT_EXAMPLE = "Example: fedvoxel privacy audit downloads/3c5c62d1 kits/hospital-a --out audits/hospital-a"


def audit(
    job: Annotated[Path, typer.Argument(help="The folder that download_job made.", show_default=False)],
    kit: Annotated[Path, typer.Argument(help="The hospital's own kit.", show_default=False)],
    out: Annotated[Path, typer.Option(help="A folder for the audit alone; becomes its owner's only.")],
    seed: Annotated[int, typer.Option(min=0, help="Chooses the patient and the canaries' coins.")] = 1,
    start: Annotated[
        Path | None, typer.Option(help="The model that the run began with, where it was an earlier run's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON alone.")] = False,
) -> None:
    """Attacks a finished job with this hospital's own patients: membership, canaries, gradient inversion.

    Runs at the hospital, takes minutes, and sends nothing. The folder holds an image made from a patient's scan: keep
    it as you would the scan. Exit code 14 if the canaries prove more than the job claims.
    """
    from rich.console import Console

    from fedvoxel.errors import PrivacyAuditError
    from fedvoxel.evaluation.attacks.audit import open_folder, run_audit, write_audit
    from fedvoxel.evaluation.attacks.material import gather

    console = Console(stderr=as_json)
    material = gather(job, kit, start)
    open_folder(out)
    with _steps(console) as told:
        found = run_audit(material, seed, told)
    write_audit(found, out)
    if as_json:
        typer.echo(found.audit.model_dump_json(indent=2))
    _print(console, found, job, out, as_json)
    if found.audit.failed:
        raise typer.Exit(PrivacyAuditError.exit_code)


def _print(console: "Console", found: "Audited", job: Path, out: Path, as_json: bool) -> None:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from fedvoxel.evaluation.attacks.audit import PAGE_FILE, PICTURE_FILE
    from fedvoxel.evaluation.attacks.audit_lines import audit_lines, verdict
    from fedvoxel.evaluation.attacks.findings import AUDIT_FILE

    audit = found.audit
    if not as_json:
        table = Table(title=f"{escape(audit.job_name)} at {escape(audit.site)}", title_justify="left", box=box.SIMPLE)
        for heading in ("attack", "measure", "found", "beside"):
            table.add_column(heading)
        for line in audit_lines(audit):
            table.add_row(*map(escape, (line.attack, line.measure, line.value, line.beside)))
        console.print(table)
    for reason in audit.skipped:
        console.print(f"[yellow]![/yellow] {escape(reason)}", highlight=False)
    console.print(escape(verdict(audit)), style="bold red" if audit.failed else None, highlight=False)
    if found.picture:
        console.print(
            f"{escape(str(out))} holds an image made from a patient's scan ({PICTURE_FILE}): it stays here.",
            soft_wrap=True,
        )
    console.print(f"Read:  {escape(str(out / PAGE_FILE))}", soft_wrap=True, highlight=False)
    after = (
        "tell the consortium, and take part in no further run of this job"
        if audit.failed
        else f"fedvoxel results {job} --audit {out / AUDIT_FILE}  (the figures without the image)"
    )
    console.print(f"Next:  {escape(after)}", soft_wrap=True, highlight=False)


@contextmanager
def _steps(console: "Console") -> Iterator[Callable[[str, int, int], None]]:
    """Shows one bar for each kind of work; the bars disappear at the end."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total)

        yield told
