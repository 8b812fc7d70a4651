"""`fedvoxel evidence …`: writes a signed pack for auditors from a run's artefacts, and verifies one offline."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import typer
from typer.core import TyperGroup

from fedvoxel.cli.evidence_view import pack_json, report_json, show_pack, show_report
from fedvoxel.cli.trust_options import RevocationList, Root, read

if TYPE_CHECKING:
    from fedvoxel.export.trust import Trust
    from fedvoxel.governance.evidence.package_artefacts import PackageFacts
    from fedvoxel.governance.evidence.subject import Subject

_DEFAULT = "pack"
_EXAMPLE = (
    "Example: fedvoxel evidence downloads/3c5c62d1 --kit server.consortium.example --site-kit hospital-a "
    "--package hippocampus-1.0.0.fvpkg --sign kits/officer@consortium.example --out evidence"
)
_Json = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


class _PackByDefault(TyperGroup):
    """Takes `fedvoxel evidence RUN` for `fedvoxel evidence pack RUN`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_PackByDefault,
    no_args_is_help=True,
    add_completion=False,
    help="Write a signed pack for auditors from what a run left, and verify one.",
    epilog=_EXAMPLE,
)


@app.command(epilog=_EXAMPLE)
def pack(
    run: Annotated[Path, typer.Argument(help="The folder that download_job made.", show_default=False)],
    kit: Annotated[Path, typer.Option(help="The server's kit: its audit log, policy, ledger.", show_default=False)],
    sign: Annotated[Path, typer.Option(help="The kit of the person who answers for the pack.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the pack: new, or one to renew.", show_default=False)],
    package: Annotated[Path | None, typer.Option(help="The run's .fvpkg file.")] = None,
    releases: Annotated[Path | None, typer.Option(help="The index of releases.")] = None,
    site_kit: Annotated[list[Path] | None, typer.Option(help="A hospital's kit, or a copy; may be repeated.")] = None,
    result: Annotated[
        list[Path] | None,
        typer.Option(help="A further downloaded job (statistics, cross-site, reader study) or report; repeatable."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Writes inventory, NIST AI RMF map, a datasheet per hospital and a GDPR record, from artefacts alone, signed.

    What is not found is listed as missing. What only a person can say is asked for in OUT/human_input.yml: fill it in,
    and give the command again. Exit code 17 if a package, an index or the signer is not to be trusted.
    """
    from rich.console import Console

    from fedvoxel.governance.evidence.collecting import collect
    from fedvoxel.governance.evidence.pack import write_pack
    from fedvoxel.records.identity import load_identity

    console = Console(stderr=as_json)
    with console.status("reading and verifying logs, ledgers, package"):
        subject = _subject(run, kit, site_kit or [])
        identity = load_identity(sign / "startup")
        opened = _package(package, releases, subject.trust)
        written = write_pack(subject, collect(subject, opened, result or []), identity, out)
    if as_json:
        typer.echo(json.dumps(pack_json(written), indent=2))
        return
    show_pack(console, written, subject.pseudonyms)


@app.command(epilog="Example: fedvoxel evidence verify evidence --root rootCA.pem")
def verify(
    folder: Annotated[Path, typer.Argument(help="The pack.", show_default=False)],
    root: Root,
    crl: RevocationList = None,
    as_json: _Json = False,
) -> None:
    """Verifies offline who signed a pack and every file in it, and names what is no longer evidenced where one is gone.

    Exit code 17 if the pack is not what was signed.
    """
    from rich.console import Console

    from fedvoxel.errors import PackageError
    from fedvoxel.governance.evidence.checking import check_pack

    report = check_pack(folder, read(root, crl), datetime.now(UTC))
    if as_json:
        typer.echo(json.dumps(report_json(report), indent=2))
    else:
        show_report(Console(), report)
    if not report.holds:
        bad = len(report.missing) + len(report.changed) + len(report.strange)
        raise PackageError(f"the pack is not what was signed: {bad} files are gone, changed or were added")


@app.command(epilog="Example: fedvoxel evidence vouch report/report.json --sign kits/scientist@consortium.example")
def vouch(
    report: Annotated[Path, typer.Argument(help="report, audit, to_share or drift.json.", show_default=False)],
    sign: Annotated[Path, typer.Option(help="Your kit: you stand for the report.", show_default=False)],
) -> None:
    """Signs that a report of `results`, `privacy audit`, `evaluate` or `drift` is what the command wrote for you.

    A pack counts such a report as evidence. It is your word: whoever reads it sees your name. Exit code 3 for another
    file, 17 if your certificate does not count.
    """
    from fedvoxel.governance.evidence.vouching import signature_of
    from fedvoxel.governance.evidence.vouching import vouch as put_name_to
    from fedvoxel.records.identity import load_identity

    signer = put_name_to(report, load_identity(sign / "startup"), datetime.now(UTC))
    typer.echo(f"{signer} stands for {report.name}: {signature_of(report)}")
    typer.echo("Next: name its folder with --result when you give fedvoxel evidence.")


def _subject(run: Path, kit: Path, site_kits: list[Path]) -> "Subject":
    from fedvoxel.evaluation.job_result import open_job_result
    from fedvoxel.export.trust import read_trust
    from fedvoxel.governance.evidence.subject import Subject
    from fedvoxel.governance.kit import open_kit

    opened, now = open_job_result(run), datetime.now(UTC)
    sites = {one.name: one for one in map(open_kit, site_kits)}
    return Subject(opened.folder, opened.workspace, opened.outcome, open_kit(kit), sites, read_trust(kit), now)


def _package(path: Path | None, index: Path | None, trust: "Trust") -> "PackageFacts | None":
    from fedvoxel.errors import ConfigError

    if path is None:
        if index is not None:
            raise ConfigError("--releases says something of a package; name it with --package")
        return None
    from fedvoxel.export.package import open_package
    from fedvoxel.export.releases import INDEX, Releases
    from fedvoxel.governance.evidence.package_artefacts import MEMBERS, PackageFacts, ReleaseFacts
    from fedvoxel.records.canonical import sha256_of_file

    opened = open_package(path, trust)
    members = {kind: opened.member(name) for kind, name in MEMBERS.items() if name in opened.names}
    release = None
    if index is not None:
        known = next((one for one in Releases(index, trust).all if one.sha256 == opened.sha256), None)
        said = (known.state, known.by.role, known.at.isoformat()) if known else (None, None, None)
        release = ReleaseFacts(sha256_of_file(index / INDEX), *said)
    name = f"{opened.manifest.name} {opened.manifest.version}"
    signed = (str(opened.signed_by), opened.signed_at.isoformat())
    return PackageFacts(opened.sha256, name, *signed, members, release)
