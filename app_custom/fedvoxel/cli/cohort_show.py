"""`fedvoxel cohort show`: pictures of a cohort for the hospital's own eyes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from fedvoxel.volumes.split import Split

if TYPE_CHECKING:
    from fedvoxel.evaluation.cohorts.contact_sheet import ContactSheet, SheetPaths

EPILOG = "Example: fedvoxel cohort show --site hospital-a/local/fedvoxel_site.json --cohort hippocampus"

OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for the page and pictures (mode 0700); cohort-COHORT-pictures here by default."),
]


def show(
    site: Annotated[Path, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")],
    cohort: Annotated[str, typer.Option("--cohort", help="The cohort.")],
    out: OutOption = None,
    cases: Annotated[
        int | None, typer.Option("--cases", min=1, help="Show this many cases at most; all by default.")
    ] = None,
    split: Annotated[Split | None, typer.Option("--split", help="Only the cases of one split.")] = None,
) -> None:
    """Draw a contact sheet: slices with the mask's outline, histograms, a table, and what to look at first.

    The pictures show patients: only you can read them, and they stay in the hospital. Run it again to go on where
    it was stopped; a case that has not changed is not drawn again.

    Exit codes: 0 if it was drawn, refused cases included; 3 if the site's file is wrong; 5 if the cohort is unknown,
    cannot be listed, has no usable case, or the folder cannot be used.
    """
    from fedvoxel.cli.progress import counting
    from fedvoxel.errors import CohortError
    from fedvoxel.evaluation.cohorts.contact_sheet import Selection, make_contact_sheet, write_contact_sheet
    from fedvoxel.volumes.site import load_site_config

    config = load_site_config(site)
    folder = out or Path(f"cohort-{cohort}-pictures")
    with counting(Console(stderr=True), f"drawing {escape(cohort)}") as progress:
        sheet = make_contact_sheet(config, cohort, site.parent, folder, Selection(split, cases), progress)
    paths = write_contact_sheet(sheet, folder)
    _say(sheet, paths, site)
    if not sheet.cards:
        raise CohortError(f"no usable case in {cohort}: the page says why each of {len(sheet.refused)} is refused")


def _say(sheet: "ContactSheet", paths: "SheetPaths", site: Path) -> None:
    console = Console(soft_wrap=True, highlight=False)
    look = sum(bool(found) for found in sheet.cautions.values())
    splits = ", ".join(f"{split} {count}" for split, count in sheet.cases_per_split.items())
    console.print(f"{len(sheet.cards)} cases drawn ({splits}); {look} to look at first; {len(sheet.refused)} refused")
    console.print(f"Open in a browser: {escape(str(paths.page))}")
    if paths.pictures:
        console.print(f"To leaf through or print: {len(paths.pictures)} pictures beside it (contact_sheet-*.png)")
    console.print("They show patients: keep them in the hospital.", style="dim")
    console.print(f"Tell the consortium: fedvoxel cohort report --site {escape(str(site))} --cohort {sheet.cohort}")
