"""`fedvoxel site score`: what a run's model is worth on a hospital's own unseen patients."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fedvoxel.evaluation.own_score import OwnScore
    from fedvoxel.federation.outcome import ClassScore


def score(
    kit: Annotated[Path, typer.Argument(help="The hospital's kit.", show_default=False)],
    result: Annotated[Path, typer.Argument(help="The folder that download_job made.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Also write the figures to this JSON file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Scores a run's model on this hospital's own test patients, beside the model that the run began with.

    For runs that protect patients, which send no scores. Runs at the hospital, and nothing leaves by itself.
    Exit code 5 if the cohort has no usable test patient.
    """
    import json

    from rich.console import Console

    from fedvoxel.evaluation.own_score import score_at_hospital
    from fedvoxel.records.atomic import write_json

    console = Console(stderr=as_json)
    with console.status("scoring test patients"):
        found = score_at_hospital(result, kit)
    values = found.model_dump(mode="json")
    if out is not None:
        write_json(out, values, mode=0o600)
    if as_json:
        typer.echo(json.dumps(values, indent=2))
        return
    show_scores(console, [found])
    console.print("These scores are outside the run's guarantee: whom you tell them is your decision.")


def show_scores(console: "Console", found: "list[OwnScore]") -> None:
    """Prints one table for all hospitals, and what the run brought to each."""
    console.print(_table(found))
    for one in found:
        if one.gain is not None:
            spread = "" if one.gain_low is None else f" (95 % interval {one.gain_low:+.3f} to {one.gain_high:+.3f})"
            console.print(f"{one.site}: mean Dice {one.gain:+.3f} over the model that it began with{spread}")


def _table(found: "list[OwnScore]") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for heading in ("hospital", "class", "scans", "Dice", "HD95 mm", "Dice before"):
        table.add_column(heading, justify="left" if heading in ("hospital", "class") else "right")
    for one in found:
        for name, shown in one.model.classes.items():
            before = one.start.classes.get(name) if one.start else None
            distance = "–" if shown.hd95_mm_median is None else f"{shown.hd95_mm_median:.1f}"
            table.add_row(one.site, name, str(shown.cases), _dice(shown), distance, _dice(before))
    return table


def _dice(shown: "ClassScore | None") -> str:
    if shown is None or shown.dice_mean is None:
        return "–"
    if shown.dice_low is None:
        return f"{shown.dice_mean:.3f}"
    return f"{shown.dice_mean:.3f} ({shown.dice_low:.3f} to {shown.dice_high:.3f})"
