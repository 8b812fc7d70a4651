"""`fedvoxel datasite`: a data scientist asks by Syft what a package is worth at a hospital, and its people decide.

What comes by Syft is words; nothing of it is run. See docs/syft.md.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.cli import datasite_ask
from fedvoxel.cli.datasite_ask import AsJson, Box
from fedvoxel.errors import ConsortiumError, FedVoxelError, JobError

if TYPE_CHECKING:
    from fedvoxel.governance.evaluation_request import Asked
    from fedvoxel.governance.kit import Kit
    from fedvoxel.ops.datasite.desk import Desk, OnDesk
    from fedvoxel.ops.datasite.evaluating import Progress

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Evaluations on a hospital's data, asked for by Syft, approved by the hospital; aggregates alone return.",
    epilog="Start here: docs/syft.md",
)
app.command(epilog=datasite_ask.ASK_EXAMPLE)(datasite_ask.ask)
app.command(epilog=datasite_ask.ANSWERS_EXAMPLE)(datasite_ask.answers)

SiteKit = Annotated[Path, typer.Argument(metavar="SITE_KIT", help="The site's kit.", show_default=False)]
Request = Annotated[
    str,
    typer.Argument(metavar="REQUEST", help="The first 8 or more digits of the request's hash.", show_default=False),
]
Index = Annotated[
    Path, typer.Option("--releases", envvar="FEDVOXEL_RELEASES", help="The hospital's index of releases.")
]
Sign = Annotated[Path, typer.Option("--sign", help="Your own kit, whose certificate names this hospital.")]
Expect = Annotated[
    str | None, typer.Option("--expect", help="The whole hash of what you have looked at: then nothing is asked.")
]


@app.command(
    "open", epilog="Example: fedvoxel datasite open hospital-a scientist@consortium.example --box /share/SyftBox"
)
def open_(
    kit: SiteKit, person: Annotated[str, typer.Argument(help="The data scientist, as in the certificate.")], box: Box
) -> None:
    """Make the folders by which one data scientist may ask this site. It promises nothing: each request is approved."""
    from fedvoxel.ops.datasite.box import LetterBox, syft_name
    from fedvoxel.records.names import PARTICIPANT

    opened = _site(kit)
    if not PARTICIPANT.fullmatch(person):
        raise ConsortiumError("expected a person's name as in the certificate, such as scientist@consortium.example")
    LetterBox(box, syft_name(opened.name)).open_for(person)
    typer.echo(f"{person} may ask. Next, when a request has come: fedvoxel datasite requests {kit} --box {box}")


@app.command(epilog="Example: fedvoxel datasite requests hospital-a --box /share/SyftBox")
def requests(kit: SiteKit, box: Box, as_json: AsJson = False) -> None:
    """List the requests in the box, and how each stands."""
    from fedvoxel.cli.datasite_view import tell_requests, values_of

    listed = _desk(kit, box).look()
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "requests": [values_of(one) for one in listed]}, indent=2))
    else:
        tell_requests(listed, kit)


@app.command(epilog="Example: fedvoxel datasite show hospital-a 3f9c01d2 --box /share/SyftBox --releases releases")
def show(kit: SiteKit, request: Request, box: Box, releases: Index) -> None:
    """Show what a request would run here, and what would return.

    Exit codes: 3, 5, 10 or 17 if the hospital's policy, the cohort, an incident or the package speaks against it.
    """
    _show(kit, request, box, releases)


@app.command(
    epilog="Example: fedvoxel datasite approve hospital-a 3f9c01d2 --box /share/SyftBox --releases releases "
    "--sign kits/physician@hospital-a.example"
)
def approve(
    kit: SiteKit,
    request: Request,
    box: Box,
    releases: Index,
    sign: Sign,
    reason: Annotated[str, typer.Option("--reason", help="Such as the number of the ethics vote; stays here.")] = "",
    expect: Expect = None,
) -> None:
    """Show what a request would run and return, and sign it: this request, byte for byte, for one run.

    Exit codes: 3, 5, 10 or 17 if it could not run (see `show`), 8 if your certificate does not count here.
    """
    from fedvoxel.records.identity import load_identity

    desk, found, asked = _show(kit, request, box, releases)
    if found.letter.status == "rejected":
        raise JobError("it was rejected in Syft, which is final there: have it asked anew")
    _confirm(asked.content, expect, "Approve exactly this, for one run?")
    desk.record.rule(load_identity(sign / "startup"), asked, "approved", reason, datetime.now(UTC))
    standing = desk.record.standing(asked)
    if standing.word == "approved":
        typer.echo(f"Approved. Next: fedvoxel datasite run {kit} --box {box} --releases {releases}")
    else:
        typer.echo(f"Signed. It is {standing.word} still: {standing.needed} approvals are needed, and no refusal")


@app.command(
    epilog="Example: fedvoxel datasite reject hospital-a 3f9c01d2 --box /share/SyftBox "
    '--sign kits/physician@hospital-a.example --reason "the cohort is in use for another study"'
)
def reject(
    kit: SiteKit,
    request: Request,
    box: Box,
    sign: Sign,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the hospital's own record.")],
    expect: Expect = None,
) -> None:
    """Sign that a request shall not run. Who asked is told that it was rejected, and nothing else."""
    from fedvoxel.records.identity import load_identity

    desk = _desk(kit, box)
    found, asked = desk.find(request)
    _confirm(asked.content, expect, "Reject exactly this?")
    desk.record.rule(load_identity(sign / "startup"), asked, "refused", reason, datetime.now(UTC))
    desk.reject(found)
    typer.echo("Rejected.")


@app.command(epilog="Example: fedvoxel datasite run hospital-a --box /share/SyftBox --releases releases")
def run(
    kit: SiteKit,
    box: Box,
    releases: Index,
    request: Annotated[
        str | None, typer.Argument(metavar="[REQUEST]", help="One request; by default all that are approved.")
    ] = None,
    memory_mb: Annotated[int, typer.Option("--memory-mb", min=512, help="Most memory, in MiB.")] = 4096,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use; all by default.")] = None,
) -> None:
    """Judge what is approved, here, and hand over the aggregate alone. An approval is good for one answer.

    Exit codes: 0; else that of the first request that was refused, after the others were done: 3 (policy), 5 (cohort),
    10 (not approved, changed since, or an incident), 12 (a record), 17 (package), 18 (model).
    """
    from fedvoxel.ops.datasite.evaluating import Means

    desk = _desk(kit, box)
    means, failures = Means(memory_mb, threads), list[FedVoxelError]()
    listed, lapsed = ([desk.find(request)[0]], ()) if request else desk.look_and_lapse()
    wanted = [one for one in listed if one.standing and (request or one.standing.word in ("approved", "returned"))]
    for one in wanted:
        name = one.asked.content[:12] if one.asked else ""
        try:
            typer.echo(f"{name}: {desk.run(one, releases, means, _counting)}")
        except FedVoxelError as error:
            failures.append(error)
            typer.echo(f"{name}: nothing left: {error}", err=True)
    for content in lapsed:
        why = "was approved and does not lie in the box as it was: it was not run, and its approval has lapsed"
        failures.append(JobError(f"{content[:12]} {why}"))
        typer.echo(str(failures[-1]), err=True)
    if failures:
        raise typer.Exit(failures[0].exit_code)
    if not wanted:
        typer.echo(f"Nothing is approved. Next: fedvoxel datasite requests {kit} --box {box}")


@contextmanager
def _counting() -> "Iterator[Progress]":
    from rich.console import Console

    from fedvoxel.cli.progress import counting

    with counting(Console(stderr=True), "judging cases") as progress:
        yield progress


def _site(kit: Path) -> "Kit":
    from fedvoxel.governance.kit import open_kit

    opened = open_kit(kit)
    if opened.kind != "site":
        raise ConsortiumError(f"kit {opened.name} is a {opened.kind}'s: give the site's kit")
    return opened


def _desk(kit: Path, box: Path) -> "Desk":
    from fedvoxel.ops.datasite.box import LetterBox, syft_name
    from fedvoxel.ops.datasite.desk import Desk

    opened = _site(kit)
    name = syft_name(opened.name)
    return Desk(opened, LetterBox(box, name), name)


def _show(kit: Path, request: str, box: Path, releases: Path) -> "tuple[Desk, OnDesk, Asked]":
    from fedvoxel.cli.datasite_view import tell_prepared
    from fedvoxel.ops.datasite.evaluating import prepare

    desk = _desk(kit, box)
    found, asked = desk.find(request)
    tell_prepared(found, asked, prepare(_site(kit), releases, asked.request))
    return desk, found, asked


def _confirm(content: str, expect: str | None, question: str) -> None:
    if expect is None:
        typer.confirm(question, abort=True)
    elif expect != content:
        raise JobError(f"expected request {expect[:64]}, this is {content}; nothing was signed")
