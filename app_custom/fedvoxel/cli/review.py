"""`fedvoxel review`: opens scans and outlines in the browser, to accept, correct or reject them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from fedvoxel.review.reading import Reading

_START = "start"


class _ReviewGroup(TyperGroup):
    """Takes `fedvoxel review PACKAGE COHORT` for `fedvoxel review start PACKAGE COHORT`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            args = [_START, *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_ReviewGroup,
    no_args_is_help=True,
    add_completion=False,
    help="Look at results in the browser; accept, correct or reject them.",
    epilog="Example: fedvoxel review prepared/",
    context_settings={"ignore_unknown_options": True},
)


@app.command(_START, epilog="Example: fedvoxel review prepared/ --reader anna --reader ben --blinded --seed 7")
def start(
    what: Annotated[
        list[str], typer.Argument(metavar="[PACKAGE] COHORT", help="A folder with reading.json, or a cohort's name.")
    ],
    site: Annotated[Path | None, typer.Option("--site", help="The site's own file, where COHORT is a name.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder that keeps the answers (mode 0700); review-COHORT by default.")
    ] = None,
    reader: Annotated[
        list[str] | None, typer.Option("--reader", help="A reader's short name, no patient's; may be repeated.")
    ] = None,
    blinded: Annotated[
        bool, typer.Option("--blinded", help="Shuffle cases, call candidates A and B; answers are final.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="For the order and the letters of a blinded reading.")] = 0,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print each link as a line of JSON.")] = False,
) -> None:
    """Start the review page on this machine and print a link for each reader. It ends with Ctrl-C.

    Everything is kept as you go; run the same command again to go on. Nothing is sent anywhere.

    Exit codes: 3 if a file is wrong; 5 if the cohort is unknown or the folder cannot be used; 19 if the folder keeps
    another study, or the port is in use.
    """
    from fedvoxel.review.desk import Desk
    from fedvoxel.review.server import listening, serve
    from fedvoxel.review.study import open_study, settings_of

    reading = _reading(what, site)
    readers = tuple(reader or ["reader-1"])
    study = open_study(
        out or Path(f"review-{Path(what[-1]).resolve().name}"), settings_of(reading, readers, blinded, seed)
    )
    with listening(port) as listener:
        _say_begin(reading, study.folder, as_json)
        serve(Desk(reading, study), readers, listener, lambda name, link: _say_link(name, link, as_json))
    if not as_json:
        typer.echo(f"Ended. Everything is in {study.folder}; next: fedvoxel review export {study.folder}")


@app.command(epilog="Example: fedvoxel review setup --tarball niivue-niivue-0.69.0.tgz")
def setup(
    tarball: Annotated[
        Path | None, typer.Option("--tarball", help="The package as a file, where this machine has no connection.")
    ] = None,
) -> None:
    """Install the 3-D viewer (NiiVue) from its npm package, checked by its hash. Node.js is not needed.

    NPM_CONFIG_REGISTRY names your hospital's mirror, if it has one. Exit code: 11 if it cannot be had.
    """
    from fedvoxel.review.viewer_package import PACKAGE, VERSION, install_viewer

    path = install_viewer(tarball)
    typer.echo(f"{PACKAGE} {VERSION} is installed in {path.parent}; next: fedvoxel review COHORT")


@app.command(epilog="Example: fedvoxel review export review-prepared --out study")
def export(
    folder: Annotated[Path, typer.Argument(help="The folder of `fedvoxel review`.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where to; FOLDER/export by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print study.json alone on standard output, too.")] = False,
) -> None:
    """Write the table of a study, how far readers agree, and the corrected label maps. It unblinds.

    Exit codes: 3 if the folder holds no study; 12 or 19 if a record cannot be trusted.
    """
    from fedvoxel.review.study import load_study
    from fedvoxel.review.study_export import export_study

    exported = export_study(load_study(folder), out or folder / "export")
    if as_json:
        typer.echo((exported.folder / "study.json").read_text(encoding="utf-8"), nl=False)
        return
    typer.echo(f"{exported.answers} answers, {exported.corrected} corrected label maps: {exported.folder}")
    for line in exported.sentences:
        typer.echo(line)


def _reading(what: list[str], site: Path | None) -> "Reading":
    from fedvoxel.review.reading_folder import open_reading_folder
    from fedvoxel.review.site_reading import open_site_cohort
    from fedvoxel.volumes.site import load_site_config

    if len(what) != 1:
        raise typer.BadParameter("expected one cohort, or a package and a cohort")
    if site is not None:
        return open_site_cohort(load_site_config(site), what[0], site.parent)
    return open_reading_folder(Path(what[0]))


def _say_begin(reading: "Reading", folder: Path, as_json: bool) -> None:
    if not as_json:
        typer.echo(f"{reading.title}: {len(reading.cases)} cases; answers are kept in {folder}")
        typer.echo("Open in a browser on this machine (each link works once; Ctrl-C ends):")


def _say_link(reader: str, link: str, as_json: bool) -> None:
    said: Any = json.dumps({"reader": reader, "link": link}) if as_json else f"  {reader}: {link}"
    typer.echo(said)
