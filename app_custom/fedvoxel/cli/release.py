"""`fedvoxel release …`: the index of releases, by which a package reaches a clinician."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fedvoxel.cli.release_options import AsJson, Index, Kit, Reason, SeenFile, publisher
from fedvoxel.cli.release_promote import PROMOTE_EXAMPLE, ROLLBACK_EXAMPLE, promote, rollback
from fedvoxel.cli.trust_options import RevocationList, Root, read

if TYPE_CHECKING:
    from fedvoxel.export.reader_gate import ReaderStudyGate
    from fedvoxel.export.releases import Release

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Publish, promote, list and fetch released packages."
)
app.command("promote", epilog=PROMOTE_EXAMPLE)(promote)
app.command("rollback", epilog=ROLLBACK_EXAMPLE)(rollback)

ReaderStudy = Annotated[
    Path | None,
    typer.Option(
        "--require-reader-study",
        help="The result of a reader study (reader_study.json) that must meet the policy; recorded in the index.",
    ),
]
ReaderPolicy = Annotated[
    Path | None,
    typer.Option("--reader-policy", help="What is asked of the reader study; the index's own where it says so."),
]


@app.command(
    epilog="Example: fedvoxel release publish hippocampus-1.0.0.fvpkg releases "
    '--sign kits/scientist@consortium.example --reason "3 seeds, see report"'
)
def publish(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="A .fvpkg file.", show_default=False)],
    index: Index,
    sign: Kit,
    reason: Reason,
    state: Annotated[Literal["candidate", "released"], typer.Option(help="Its first state.")] = "candidate",
    reader_study: ReaderStudy = None,
    reader_policy: ReaderPolicy = None,
    index_requires: Annotated[
        Path | None,
        typer.Option(help="Begins an index of which every release must show a reader study that meets this policy."),
    ] = None,
    despite_withdrawn: Annotated[
        bool,
        typer.Option("--despite-withdrawn", help="Although one of the same run is withdrawn, for another reason."),
    ] = False,
    crl: RevocationList = None,
    seen: SeenFile = None,
) -> None:
    """Puts a package into an index, which is made if there is none.

    Anybody with a role may publish a candidate; a lead or the project's administrator a release. Exit code 17 if not,
    or if a release of the same run is withdrawn; 20 if a reader study is missing or falls short; 3 if its result or
    policy cannot be read.
    """
    from fedvoxel.cli.withdrawal_releases import check_run_is_not_withdrawn

    gate, now = _gate(reader_study, reader_policy, index_requires), datetime.now(UTC)
    if not despite_withdrawn:
        check_run_is_not_withdrawn(package, index, read(sign, crl), seen, now)
    done = publisher(index, sign, crl, seen, gate).publish(package, state, reason, now)
    typer.echo(f"{done.name} {done.version} is {done.state}, signed by {done.by}. Next: fedvoxel release list {index}")


@app.command(
    "set",
    epilog="Example: fedvoxel release set withdrawn releases hippocampus 1.0.0 "
    '--sign kits/scientist@consortium.example --reason "misses small hippocampi"',
)
def set_(
    state: Annotated[
        Literal["released", "superseded", "withdrawn"], typer.Argument(help="The new state.", show_default=False)
    ],
    index: Index,
    name: Annotated[str, typer.Argument(help="The model.", show_default=False)],
    version: Annotated[str, typer.Argument(help="Its version.", show_default=False)],
    sign: Kit,
    reason: Reason,
    reader_study: ReaderStudy = None,
    reader_policy: ReaderPolicy = None,
    crl: RevocationList = None,
    seen: SeenFile = None,
) -> None:
    """Sets the state of a package; a withdrawn one stays withdrawn.

    A lead or the project's administrator may; a hospital's administrator may withdraw. Exit code 17 if not allowed;
    20 if a reader study is missing or falls short; 3 if its result or policy cannot be read.
    """
    gate = _gate(reader_study, reader_policy, None)
    done = publisher(index, sign, crl, seen, gate).set_state(name, version, state, reason, datetime.now(UTC))
    typer.echo(f"{done.name} {done.version} is {done.state}, signed by {done.by}. Next: tell the hospitals")


@app.command("list", epilog="Example: fedvoxel release list releases --root kits/hospital-a")
def list_(index: Index, root: Root, crl: RevocationList = None, seen: SeenFile = None, as_json: AsJson = False) -> None:
    """Verifies an index, and lists its packages with their states. Exit code 17 if it cannot be trusted."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fedvoxel.export.releases import Releases

    found = Releases(index, read(root, crl), seen).all
    if as_json:
        typer.echo(json.dumps([_facts(one) for one in found], indent=2, ensure_ascii=False))
        return
    table = Table(box=box.SIMPLE)
    for heading in ("model", "version", "state", "since", "by", "why", "gates"):
        table.add_column(heading, overflow="fold")
    for one in found:
        gates = "; ".join(passed.words for passed in (one.reader_study, one.promotion) if passed) or "none"
        since = f"{one.at:%Y-%m-%d}"
        table.add_row(one.name, one.version, one.state, since, escape(str(one.by)), escape(one.reason), gates)
    Console().print(table)
    typer.echo(f"Next: fedvoxel release fetch {index} NAME")


@app.command(epilog="Example: fedvoxel release fetch releases hippocampus --root kits/hospital-a --out models")
def fetch(
    index: Index,
    name: Annotated[str, typer.Argument(help="The model.", show_default=False)],
    root: Root,
    version: Annotated[str | None, typer.Option(help="A version; the newest released one by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the copy.")] = Path(),
    crl: RevocationList = None,
    seen: SeenFile = None,
) -> None:
    """Copies the newest released version of a model, verified. Exit code 17 if there is none that can be trusted."""
    from fedvoxel.export.publishing import fetch as fetch_release
    from fedvoxel.export.releases import Releases

    trust = read(root, crl)
    package = fetch_release(Releases(index, trust, seen), name, version, out, trust)
    typer.echo(f"{package.path}, signed by {package.signed_by}. Next: fedvoxel export show {package.path}")


def _gate(result: Path | None, policy: Path | None, of_index: Path | None) -> "ReaderStudyGate":
    from fedvoxel.export.reader_gate import ReaderStudyGate, read_requirement

    asked, begun = (read_requirement(path) if path else None for path in (policy, of_index))
    return ReaderStudyGate(result, asked, begun)


def _facts(release: "Release") -> dict[str, Any]:
    return {
        "name": release.name,
        "version": release.version,
        "state": release.state,
        "since": release.at.isoformat(),
        "by": release.by.name,
        "role": release.by.role,
        "reason": release.reason,
        "sha256": release.sha256,
        "reader_study": release.reader_study.model_dump(mode="json") if release.reader_study else None,
        "promotion": release.promotion.model_dump(mode="json") if release.promotion else None,
    }
