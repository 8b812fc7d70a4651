"""`fedvoxel cohort report`: a cohort's datasheet, which a person may hand to the consortium."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from fedvoxel.evaluation.cohorts.datasheet import Datasheet

EPILOG = "Example: fedvoxel cohort report --site hospital-a/local/fedvoxel_site.json --cohort hippocampus"

OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for datasheet.html and .json; cohort-COHORT-datasheet here by default."),
]
AnswersOption = Annotated[
    Path | None,
    typer.Option(
        "--answers",
        help="What only the hospital can say, as JSON texts: motivation, collection, consent, labelling, uses, "
        "not_for, maintenance.",
    ),
]


def report(
    site: Annotated[Path, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")],
    cohort: Annotated[str, typer.Option("--cohort", help="The cohort.")],
    out: OutOption = None,
    minimum_cases: Annotated[
        int, typer.Option("--minimum-cases", min=2, help="No number is about fewer patients than this.")
    ] = 5,
    answers: AnswersOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the datasheet's JSON alone on standard output, too.")
    ] = False,
) -> None:
    """Write a datasheet: patients, splits, scanners, sex, ages, sizes, volumes, what was refused, hashes.

    No number in it is about fewer patients than the minimum, nor can one be computed from it. It goes nowhere by
    itself: read it, then hand it to the consortium if your hospital agrees.

    Exit codes: 0 if it was written, below the minimum too (it then says so and no more); 3 if the site's file or the
    answers are wrong; 5 if the cohort is unknown or cannot be listed, or the folder cannot be used.
    """
    from fedvoxel.cli.progress import counting
    from fedvoxel.config import load_json_config
    from fedvoxel.evaluation.cohorts.answers import HospitalAnswers
    from fedvoxel.evaluation.cohorts.case_record import read_records
    from fedvoxel.evaluation.cohorts.datasheet import datasheet_values, make_datasheet, write_datasheet
    from fedvoxel.volumes.site import load_site_config

    config = load_site_config(site)
    said = load_json_config(HospitalAnswers, answers, "the file of --answers") if answers else HospitalAnswers()
    with counting(Console(stderr=True), "reading") as progress:
        records = read_records(config, cohort, site.parent, progress)
    sheet = make_datasheet(config.cohort(cohort), cohort, site.parent, records, minimum_cases, said)
    page = write_datasheet(sheet, out or Path(f"cohort-{cohort}-datasheet"))
    if as_json:
        typer.echo(json.dumps(datasheet_values(sheet), indent=2, ensure_ascii=False))
    else:
        _say(sheet, page)


def _say(sheet: "Datasheet", page: Path) -> None:
    console = Console(soft_wrap=True, highlight=False)
    if sheet.composition is None:
        console.print(f"fewer than {sheet.minimum_patients} patients: the datasheet says so, and nothing more")
    else:
        console.print(f"{sheet.composition.patients} patients; no number is about fewer than {sheet.minimum_patients}")
    console.print(f"Open in a browser: {escape(str(page))} (the same as JSON: datasheet.json)")
    console.print("Nothing was sent. Read it, then hand it to the consortium yourself.", style="dim")
