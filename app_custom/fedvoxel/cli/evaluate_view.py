"""What `fedvoxel evaluate` says at its end: scores, what to keep in mind, and what to do next."""

import json
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fedvoxel.evaluation.judgement.comparison import Comparison
    from fedvoxel.evaluation.judgement.judgement import Judgement
    from fedvoxel.evaluation.judgement.writing import Written


def show(judgement: "Judgement", written: "Written", as_json: bool) -> None:
    """Prints a judgement, and where its files are."""
    from rich.console import Console

    if as_json:
        typer.echo(json.dumps(judgement.model_dump(mode="json"), indent=2, ensure_ascii=False))
        return
    console, model, data = Console(highlight=False, markup=False), judgement.model, judgement.data
    console.print(
        f"{model.title} {model.version}: {data.cases} cases of {data.patients} patients at {len(data.hospitals)} "
        f"hospital{'' if len(data.hospitals) == 1 else 's'}, {data.split or 'all'} split",
        style="bold",
    )
    console.print(_scores(judgement))
    if judgement.comparison is not None:
        _say_comparison(console, judgement.comparison)
    for caution in judgement.cautions:
        console.print(f"! {caution}", style="yellow")
    for skipped in judgement.skipped:
        console.print(f"not judged: {skipped.case} at {skipped.hospital}: {skipped.message}", style="red")
    _say_next(console, written)


def _scores(judgement: "Judgement") -> "Table":
    from rich import box
    from rich.table import Table

    from fedvoxel.evaluation.judgement.number_text import interval_text

    table = Table(title="Means over cases (95 % intervals over patients)", title_justify="left", box=box.SIMPLE)
    for heading in ("structure", "Dice", f"NSD at {judgement.settings.tolerance_mm:g} mm", "HD95 in mm"):
        table.add_column(heading)
    table.add_column("found", justify="right")
    for one in judgement.structures:
        counts = one.counts
        found = f"{counts.found} of {counts.there}"
        table.add_row(one.label, interval_text(one.dice), interval_text(one.nsd), interval_text(one.hd95_mm, 1), found)
    return table


def _say_comparison(console: "Console", comparison: "Comparison") -> None:
    from fedvoxel.evaluation.judgement.number_text import p_text, signed_text

    for test in comparison.tests:
        shown = f"{comparison.metric} {signed_text(test.whole.difference)}, {p_text(test.wilcoxon_p)}"
        console.print(f"against {comparison.name}, {test.whole.structure}: {shown}")
    if comparison.margin is not None:
        verdict = "non-inferior" if comparison.non_inferior else "non-inferiority not shown"
        console.print(f"{verdict} at a margin of {comparison.margin:g}, stated {comparison.stated_at}", style="bold")
    harmed = [row for row in comparison.groups if row.verdict == "worse"]
    for row in harmed:
        console.print(f"worse for {row.kind} {row.group}, {row.structure}: {signed_text(row.difference)}", style="red")


def _say_next(console: "Console", written: "Written") -> None:
    console.print(f"For research use only. Report: {written.page}", soft_wrap=True)
    if written.paper is not None:
        console.print(f"        on paper: {written.paper}", soft_wrap=True)
    console.print(
        f"Next: open it in a browser, and look at the worst cases first. It stays in the hospital; {written.shared} is "
        "what you may hand on once you have read it.",
        soft_wrap=True,
    )
