"""Shows a comparison of jobs in a terminal."""

from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from fedvoxel.evaluation.comparison.page import difference_text, megabytes, number

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.evaluation.comparison.page import ComparisonPaths
    from fedvoxel.evaluation.comparison.result import Comparison


def show_comparison(console: "Console", comparison: "Comparison", paths: "ComparisonPaths") -> None:
    """Prints the table, the differences, what each hospital gained, the caveats and where everything is."""
    console.print(_table(comparison))
    if comparison.pooled is not None:
        console.print(f"Pooled (all cases in one place): {number(comparison.pooled)}", highlight=False)
    for found in comparison.differences:
        said = f"{found.job} minus {found.other}: {difference_text(found)}"
        console.print(escape(said), highlight=False)
    for one in comparison.gains:
        console.print(escape(f"{one.job}: {one.gain.sentence}"), highlight=False)
    for caveat in comparison.caveats:
        console.print(f"[yellow]![/yellow] {escape(caveat)}", highlight=False)
    for path in (paths.html, paths.json, paths.curves):
        console.print(f"Wrote {escape(str(path))}", soft_wrap=True, highlight=False)


def _table(comparison: "Comparison") -> Table:
    seeds = ", ".join(map(str, comparison.seeds))
    title = f"Dice of unseen cases of {comparison.cohort}, seeds {seeds}"
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE)
    table.add_column("job", overflow="fold")
    for heading in ("Dice", "by seed", "worst hospital", "MB up", "MB down", "seconds"):
        table.add_column(heading, justify="right")
    for row in comparison.rows:
        worst = f"{row.worst_site} {number(row.sites[row.worst_site])}" if row.worst_site else ""
        table.add_row(
            escape(row.job) + (" (personal)" if row.personal else ""),
            number(row.dice),
            " / ".join(number(value) for value in row.dice_by_seed),
            escape(worst),
            megabytes(row.bytes_up),
            megabytes(row.bytes_down),
            f"{row.seconds:.0f}",
        )
    return table
