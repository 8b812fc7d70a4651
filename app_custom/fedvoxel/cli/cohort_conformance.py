"""`fedvoxel cohort conformance`: what becomes of each DICOM attribute under a cohort's policy."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedvoxel.errors import ConfigError

if TYPE_CHECKING:
    from fedvoxel.deid.policy import DeidPolicy

EPILOG = "Example: fedvoxel cohort conformance --site hospital-a/local/fedvoxel_site.json --cohort liver --out liver.md"


def conformance(
    site: Annotated[Path, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")],
    cohort: Annotated[str, typer.Option("--cohort", help="The cohort; its description says how it is built.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="A file that ends in .md or .csv; Markdown on the screen by default.")
    ] = None,
    law: Annotated[
        Literal["hipaa", "pdpa"] | None,
        typer.Option("--law", help="Instead: what is done about what HIPAA's Safe Harbor or Singapore's PDPA names."),
    ] = None,
) -> None:
    """Print the de-identification conformance statement (PS3.2, PS3.15 Annex E) of a cohort's settings.

    With --law, what becomes of each identifier that a law names, for a privacy officer who decides (Markdown). It holds
    choices and rules only, nothing of a patient: it can be handed to anybody.

    Exit codes: 0; 3 if the site's file or --out is wrong; 5 if the cohort is unknown or not one to build.
    """
    from fedvoxel.cli.cohort_deidentify import build_of
    from fedvoxel.deid.conformance import as_csv, as_markdown
    from fedvoxel.deid.legal import legal_statement
    from fedvoxel.records.atomic import write_text

    writers: dict[str, Callable[[DeidPolicy], str]] = {".csv": as_csv, ".md": as_markdown}
    if law is not None:
        writers = {".md": partial(legal_statement, law)}
    ending = ".md" if out is None else out.suffix
    if ending not in writers:
        raise ConfigError(f"expected --out to name a file that ends in {' or '.join(sorted(writers))}")
    statement = writers[ending](build_of(site, cohort)[1].deid)
    if out is None:
        typer.echo(statement, nl=False)
    else:
        write_text(out, statement)
