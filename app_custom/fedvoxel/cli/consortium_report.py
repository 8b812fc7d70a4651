"""`fedvoxel consortium report`: what the consortium did in a quarter, on one page."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.cli.authority_options import JsonOption
from fedvoxel.cli.certificates_view import say

if TYPE_CHECKING:
    from fedvoxel.export.trust import Trust
    from fedvoxel.governance.quarter.report import ModelLine

_RELEASES = "The index of releases: which models were promoted."
_RESULT = "A downloaded job with its report (fedvoxel results), or a reader study; may be repeated."


def report(
    kit: Annotated[Path, typer.Argument(help="The server's kit.", show_default=False)],
    quarter: Annotated[str | None, typer.Option(help="Such as 2026-Q4; by default the present one.")] = None,
    releases: Annotated[Path | None, typer.Option("--releases", help=_RELEASES)] = None,
    result: Annotated[list[Path] | None, typer.Option("--result", help=_RESULT)] = None,
    seen: Annotated[Path | None, typer.Option(help="Where to remember what was seen of the index.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The page; consortium-QUARTER.html here.")] = None,
    on_paper: Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also write the page as PDF, beside it.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Says what was trained in a quarter, by whom, what came of it and what it cost: one page for the consortium.

    From the server's audit log, as far as hospitals have signed for it, and what that names by its hash. What cannot be
    known is listed. With --json no page is written. Exit code 12 if the log cannot be trusted, 17 if the index cannot.
    """
    from fedvoxel.export.trust import read_trust
    from fedvoxel.governance.kit import open_kit
    from fedvoxel.governance.quarter.found_results import find_results
    from fedvoxel.governance.quarter.period import Quarter
    from fedvoxel.governance.quarter.report import Sources, report_of

    now, server, trust = datetime.now(UTC), open_kit(kit), read_trust(kit)
    asked = Quarter.named(quarter) if quarter else Quarter.of(now)
    models = models_of(releases, trust, seen) if releases else None
    made = report_of(Sources(server, trust, models, find_results(result or ()), now), asked)
    if as_json:
        typer.echo(made.model_dump_json(indent=2))
        return
    from fedvoxel.ops.quarter.page import render_quarter

    page = render_quarter(made)
    file = out or Path(f"consortium-{asked}.html")
    _write(page, file, on_paper)
    say(f"{asked}: runs {len(made.runs)}, hospitals that trained {sum(bool(one.updates) for one in made.hospitals)}.")
    for text in made.not_known:
        say(f"Not known: {text}")
    say(f"The page is {file}" + (f", on paper {file.with_suffix('.pdf')}." if on_paper else "."))


def models_of(index: Path, trust: "Trust", seen: Path | None) -> list["ModelLine"]:
    """Returns what an index of releases has ever said of packages, in order.

    Args:
        index: Its folder.
        trust: Whose signatures count.
        seen: Where to remember what was seen of it.
    """
    from fedvoxel.export.releases import Releases
    from fedvoxel.governance.quarter.report import ModelLine

    said = Releases(index, trust, seen).statements
    return [ModelLine(name=one.name, version=one.version, state=one.state, at=one.at, by=str(one.by)) for one in said]


def _write(page: str, file: Path, on_paper: bool) -> None:
    from fedvoxel.errors import ConfigError
    from fedvoxel.evaluation.judgement.paper import check_paper, pdf_of
    from fedvoxel.records.atomic import write_bytes, write_text

    if file.suffix != ".html":
        raise ConfigError(f"--out: expected a file that ends in .html, got {file.name}; the PDF is written beside it")
    if on_paper:
        check_paper()
    try:
        write_text(file, page)
        if on_paper:
            write_bytes(file.with_suffix(".pdf"), pdf_of(page))
    except OSError as error:
        raise ConfigError(f"--out: the page cannot be written: {error.strerror or type(error).__name__}") from None
