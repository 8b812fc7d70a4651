"""Shows packages, and how well their forms agree."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.export.form_check import FormResult
    from fedvoxel.export.package import Package


def show_package(console: "Console", package: "Package") -> None:
    """Prints what a package is, what it is for, and who signed it."""
    facts = facts_of(package)
    for key in ("package", "title", "intended_use", "limitations", "calibrated", "signed_by", "signed_at", "sha256"):
        console.print(f"{key:>12}  {_word(facts[key])}", highlight=False, markup=False, soft_wrap=True)


def facts_of(package: "Package") -> dict[str, Any]:
    """Returns what a package is, for JSON."""
    signer = package.signed_by
    return {
        "package": f"{package.manifest.name} {package.manifest.version}",
        "title": package.description.title,
        "intended_use": package.description.intended_use,
        "limitations": package.description.limitations,
        "calibrated": package.calibration is not None,
        "sha256": package.sha256,
        "created": package.manifest.created,
        "signed_by": str(signer),
        "organisation": signer.organisation,
        "role": signer.role,
        "signed_at": package.signed_at.isoformat(),
        "members": {name: member.size_bytes for name, member in package.manifest.members.items()},
    }


def _word(fact: Any) -> str:
    return {True: "yes", False: "no"}[fact] if isinstance(fact, bool) else str(fact)


def show_results(console: "Console", results: "list[FormResult]") -> None:
    """Prints a table of what was compared."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE, title="Against the trained weights", title_justify="left")
    for heading in ("case", "form", "same label", "probability to", "least Dice", ""):
        table.add_column(heading, justify="left" if heading in ("case", "form", "") else "right")
    for one in results:
        dice = [value for value in one.dice.values() if value is not None]
        cells = (f"{one.argmax_agreement:.4%}", f"{one.largest_softmax_difference:.1e}")
        least = f"{min(dice):.5f}" if dice else "–"
        table.add_row(escape(one.case), one.form, *cells, least, "[green]agrees[/]" if one.holds else "[red]off[/]")
    console.print(table)
