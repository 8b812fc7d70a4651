"""`fedvoxel review`: opens scans and outlines in the browser, to accept, correct or reject them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import typer
from typer.core import TyperGroup

from fedvoxel.cli.predict_options import EightBit
from fedvoxel.cli.trust_options import Index, RevocationList, Unknown

if TYPE_CHECKING:
    from fedvoxel.review.gate import WayIn
    from fedvoxel.review.oidc_settings import OidcClient
    from fedvoxel.review.reading import Reading
    from fedvoxel.review.study import Study

_START = "start"


class _ReviewGroup(TyperGroup):
    """Takes `fedvoxel review PACKAGE COHORT` for `fedvoxel review start PACKAGE COHORT`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else [_START, *args])


app = typer.Typer(
    cls=_ReviewGroup,
    no_args_is_help=True,
    add_completion=False,
    help="Look at results in the browser; accept, correct or reject them: fedvoxel review [PACKAGE] COHORT.",
    epilog="Example: fedvoxel review hippocampus-1.0.0.fvpkg studies/ --root hospital-a",
    # So that options may stand before the cohort.
    context_settings={"ignore_unknown_options": True},
)

WhatArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="[PACKAGE] COHORT",
        help="A signed package, and a folder of DICOM studies or NIfTI files, a folder with reading.json, or the name "
        "of a cohort of --site. Without a package, the label maps that are there.",
    ),
]
SiteOption = Annotated[Path | None, typer.Option("--site", help="The site's own file, of which COHORT is a cohort.")]
RootOption = Annotated[
    Path | None,
    typer.Option(
        "--root", envvar="FEDVOXEL_ROOT", help="The consortium's root (a kit's startup/rootCA.pem), or the kit."
    ),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder that keeps the answers (mode 0700); review-COHORT by default.")
]
ReaderOption = Annotated[
    list[str] | None,
    typer.Option("--reader", help="A reader's short name, such as reader-1; may be repeated."),
]
BlindedOption = Annotated[
    bool, typer.Option("--blinded", help="Shuffle the cases, call label maps A and B; answers are final.")
]
SeriesOption = Annotated[
    int | None, typer.Option("--series", min=1, help="The number of the series, where several fit the model.")
]
OidcOption = Annotated[
    Path | None,
    typer.Option(
        "--oidc",
        metavar="FILE",
        help="Readers sign in through the hospital's OpenID Connect provider, as this file says, behind the hospital's "
        "proxy; no links are printed. See docs/review.md.",
    ),
]


@app.command(_START, epilog="Example: fedvoxel review prepared/ --reader anna --reader ben --blinded --seed 7")
def start(
    what: WhatArgument,
    site: SiteOption = None,
    root: RootOption = None,
    crl: RevocationList = None,
    releases: Index = None,
    allow_unknown: Unknown = False,
    out: OutOption = None,
    reader: ReaderOption = None,
    blinded: BlindedOption = False,
    seed: Annotated[int, typer.Option("--seed", help="For the order and the letters of a blinded reading.")] = 0,
    series: SeriesOption = None,
    eight_bit: EightBit = False,
    memory_mb: Annotated[int, typer.Option("--memory-mb", min=512, help="Most memory to take, in MiB.")] = 8192,
    oidc: OidcOption = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print each link as a line of JSON.")] = False,
) -> None:
    """Start the review page on this machine and print a link for each reader. It ends with Ctrl-C.

    Everything is kept as you go; run the same command again to go on. Nothing is sent anywhere. With --oidc no links
    are made: readers sign in at the hospital, behind its proxy.

    Exit codes: 3 if a file or option is wrong, or the readers of --oidc are not the study's; 5 if the cohort is unknown
    or the folder cannot be used; 15 or 18 if the images cannot be used; 17 if the package is not to be trusted; 19 if
    the folder keeps another study, or the port is in use.
    """
    from fedvoxel.cli.review_source import Asked, reading_of
    from fedvoxel.review.study import open_study, settings_of

    package, cohort = _package_and_cohort(what)
    client, readers = _who_reads(oidc, reader)
    folder = out or Path(f"review-{Path(cohort).resolve().name}")
    reading, begin = reading_of(
        Asked(package, cohort, site, root, crl, releases, allow_unknown, folder, memory_mb, series)
    )
    study = open_study(folder, settings_of(reading, readers, blinded, seed))
    begin()
    _serve(replace(reading, eight_bit=eight_bit), study, client, port, as_json)


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
    out: Annotated[Path | None, typer.Option("--out", help="In place of an export there; or FOLDER/export.")] = None,
    reader: Annotated[str | None, typer.Option("--reader", help="Whose DICOM results; else of all who agree.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print study.json alone on standard output, too.")] = False,
) -> None:
    """Write the table of a study, how far readers agree, corrected label maps and DICOM results. It unblinds.

    Left out is what was changed after the answer and not saved, and DICOM results that another reader rejected.
    Exit codes: 3 if the folder holds no study; 5 if --out cannot be used; 12 or 19 if a record cannot be trusted,
    --out holds other files, or nothing is answered yet.
    """
    from fedvoxel.review.study import load_study
    from fedvoxel.review.study_export import export_study

    exported = export_study(load_study(folder), out or folder / "export", reader)
    for remark in exported.remarks:
        typer.echo(f"warning: {remark}", err=True)
    if as_json:
        typer.echo((exported.folder / "study.json").read_text(encoding="utf-8"), nl=False)
        return
    typer.echo(f"{exported.answers} answers, {exported.corrected} corrected label maps: {exported.folder}")
    for line in exported.sentences:
        typer.echo(line)
    if exported.reports:
        typer.echo(
            f"{exported.segmentations} DICOM segmentations and {exported.reports} reports are in 'segmentations' and "
            f"'reports' of {exported.folder}; next: fedvoxel pacs store"
        )


@app.command(epilog="Example: fedvoxel review finish review-prepared")
def finish(
    folder: Annotated[Path, typer.Argument(help="The folder of `fedvoxel review`.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Declare a study finished, for a reader study of all hospitals. Nothing leaves this machine by it.

    Exit codes: 3 if the folder holds no study; 12 or 19 if a record cannot be trusted, no package was read, or nothing
    is answered by all readers yet.
    """
    from dataclasses import asdict

    from fedvoxel.review.finishing import finish_study
    from fedvoxel.review.study import load_study

    done = finish_study(load_study(folder))
    if as_json:
        typer.echo(json.dumps(asdict(done)))
        return
    typer.echo(f"{done.cases} of {done.listed} cases are answered by all readers; package {done.package}")
    typer.echo("Next: name the folder under reader_studies in local/fedvoxel_site.json, see docs/reader_study.md")


def _package_and_cohort(what: list[str]) -> tuple[Path | None, str]:
    if len(what) > 2:
        raise typer.BadParameter("expected one cohort, or a package and a cohort")
    return (Path(what[0]) if len(what) == 2 else None), what[-1]


def _who_reads(oidc: Path | None, named: list[str] | None) -> "tuple[OidcClient | None, tuple[str, ...]]":
    """Returns the provider's client, if there is one, and the readers: those of its file where none are named."""
    if oidc is None:
        return None, tuple(named or ["reader-1"])
    from fedvoxel.review.oidc_settings import open_oidc, require_same_readers

    client = open_oidc(oidc)
    readers = tuple(named or client.settings.readers)
    require_same_readers(client.settings, readers)
    return client, readers


def _serve(reading: "Reading", study: "Study", client: "OidcClient | None", port: int, as_json: bool) -> None:
    from fedvoxel.review.desk import Desk
    from fedvoxel.review.server import listening, serve

    with listening(port) as listener:
        if not as_json:
            typer.echo(f"{reading.title}: {len(reading.cases)} cases; answers are kept in {study.folder}")
        way = _way_in(client, study, listener.getsockname()[1], as_json)
        serve(Desk(reading, study), way, listener)
    if not as_json:
        typer.echo(f"Ended. Everything is in {study.folder}; next: fedvoxel review export {study.folder}")


def _way_in(client: "OidcClient | None", study: "Study", port: int, as_json: bool) -> "WayIn":
    """Returns how readers come in, and says it."""
    if client is None:
        from fedvoxel.review.links import open_links

        if not as_json:
            typer.echo("Open in a browser on this machine (each link works once; Ctrl-C ends):")
        return open_links(port, study.settings.readers, lambda name, link: _say_link(name, link, as_json))
    from fedvoxel.review.refused_sign_in import RefusedSignIn
    from fedvoxel.review.sign_in import SignIn

    way, address = SignIn(client), f"{client.settings.public_url}/"
    text = f"Readers sign in at {address} (the proxy asks 127.0.0.1:{port}; Ctrl-C ends)"
    typer.echo(json.dumps({"sign_in": address, "port": port}) if as_json else text)
    try:
        way.provider.description()
    except RefusedSignIn as refused:  # it may be up again before the first reader comes
        typer.echo(f"warning: nobody can sign in yet: {refused} ({refused.detail})", err=True)
    return way


def _say_link(reader: str, link: str, as_json: bool) -> None:
    typer.echo(json.dumps({"reader": reader, "link": link}) if as_json else f"  {reader}: {link}")
