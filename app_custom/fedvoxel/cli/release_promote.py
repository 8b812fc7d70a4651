"""`fedvoxel release promote` and `rollback`: one released version in the place of another."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.cli.release_options import AsJson, Index, Kit, Reason, SeenFile, publisher
from fedvoxel.cli.trust_options import RevocationList

if TYPE_CHECKING:
    from fedvoxel.export.package import Package
    from fedvoxel.export.publishing import Publisher
    from fedvoxel.governance.promotion.judging import Judged
    from fedvoxel.governance.promotion.policy import PromotionPolicy

PROMOTE_EXAMPLE = (
    "Example: fedvoxel release promote hippocampus-1.1.0.fvpkg releases --policy promotion.json --report north "
    '--report south --sign kits/scientist@consortium.example --crl crl.pem --reason "retrained in March"'
)
ROLLBACK_EXAMPLE = (
    "Example: fedvoxel release rollback releases hippocampus --sign kits/scientist@consortium.example "
    '--reason "misses small hippocampi at north"'
)


PackageFile = Annotated[Path, typer.Argument(metavar="PACKAGE", help="A .fvpkg file.", show_default=False)]
Policy = Annotated[Path, typer.Option("--policy", help="What is asked, agreed on beforehand.", show_default=False)]
Reports = Annotated[
    list[Path] | None,
    typer.Option("--report", help="A folder with a hospital's to_share.json or audit.json, vouched for; repeatable."),
]
ReaderStudy = Annotated[
    Path | None, typer.Option("--reader-study", help="The result of a reader study (reader_study.json).")
]
DespiteWithdrawn = Annotated[
    bool, typer.Option("--despite-withdrawn", help="Although one of the same run is withdrawn, for another reason.")
]
NotUnsafe = Annotated[
    bool, typer.Option("--not-unsafe", help="Supersede the present version, which may be used with a warning.")
]


def promote(
    package: PackageFile,
    index: Index,
    policy: Policy,
    sign: Kit,
    reason: Reason,
    report: Reports = None,
    reader_study: ReaderStudy = None,
    despite_withdrawn: DespiteWithdrawn = False,
    crl: RevocationList = None,
    seen: SeenFile = None,
    as_json: AsJson = False,
) -> None:
    """Releases a package if every gate of a policy is green, and supersedes the version that was released before.

    A lead or the project's administrator may. Exit code 30 if a gate is red or something is missing, 17 if the package
    or the index cannot be trusted or the role does not allow it, 3 if policy or reader study cannot be read: the index
    is then as it was.
    """
    from fedvoxel.cli.withdrawal_releases import check_run_is_not_withdrawn
    from fedvoxel.export.reader_gate import ReaderStudyGate
    from fedvoxel.governance.promotion.policy import read_promotion_policy

    asked, now = read_promotion_policy(policy), datetime.now(UTC)
    who = publisher(index, sign, crl, seen, ReaderStudyGate(reader_study, asked.reader_study))
    if not despite_withdrawn:
        check_run_is_not_withdrawn(package, index, who.trust, seen, now)
    _promote(asked, package, who, report or [], reason, as_json)


def _promote(
    policy: "PromotionPolicy", path: Path, who: "Publisher", folders: list[Path], reason: str, as_json: bool
) -> None:
    from fedvoxel.errors import PromotionError
    from fedvoxel.export.package import open_package
    from fedvoxel.export.succession import promote as put_in_place

    now = datetime.now(UTC)
    package = open_package(path, who.trust, now)
    judged = _judged(policy, package, who, folders, now)
    name = f"{package.manifest.name} {package.manifest.version}"
    if judged.evidence is None:
        _show(name, judged, as_json)
        red = ", ".join(gate.name for gate in judged.gates if not gate.green)
        raise PromotionError(f"{name} was not promoted, and the index is as it was; not green: {red}")
    done, *before = put_in_place(who, package, judged.evidence, reason, now)
    _show(name, judged, as_json)
    if not as_json:
        ended = "".join(f"; {one.version} is {one.state}" for one in before)
        typer.echo(f"{name} is {done.state}, signed by {done.by}{ended}. Next: tell the hospitals")


def rollback(
    index: Index,
    name: Annotated[str, typer.Argument(help="The model.", show_default=False)],
    sign: Kit,
    reason: Reason,
    not_unsafe: NotUnsafe = False,
    crl: RevocationList = None,
    seen: SeenFile = None,
    as_json: AsJson = False,
) -> None:
    """Withdraws the version of a model that is released, and releases the one before it again.

    A lead or the project's administrator may. What is withdrawn stays so. Where somebody has withdrawn the present one
    already, the one before is released. Exit code 17 if there is none that can be, or the role does not allow it; the
    index is then as it was.
    """
    from fedvoxel.export.reader_gate import NO_GATE
    from fedvoxel.export.succession import roll_back

    who = publisher(index, sign, crl, seen, NO_GATE)
    done = roll_back(who, name, reason, datetime.now(UTC), "superseded" if not_unsafe else "withdrawn")
    if as_json:
        pair = {"ended": done.ended, "released": done.released}
        said = {key: {"version": one.version, "state": one.state, "sha256": one.sha256} for key, one in pair.items()}
        typer.echo(json.dumps({"schema_version": 1, "name": name, **said}, indent=2))
        return
    typer.echo(
        f"{name} {done.ended.version} is {done.ended.state}, {done.released.version} is released again, signed by "
        f"{done.released.by}. Next: tell the hospitals; they get it with fedvoxel release fetch {index} {name}"
    )


def _judged(
    policy: "PromotionPolicy", package: "Package", who: "Publisher", folders: list[Path], now: datetime
) -> "Judged":
    from fedvoxel.export.origin import PROVENANCE
    from fedvoxel.export.releases import Releases
    from fedvoxel.governance.promotion.candidate import Candidate
    from fedvoxel.governance.promotion.handed_in import read_handed_in
    from fedvoxel.governance.promotion.judging import judge, study_gate

    releases = Releases(who.folder, who.trust, who.seen, now)
    released = releases.released(package.manifest.name)
    candidate = Candidate.of(
        package.manifest.name,
        package.sha256,
        frozenset(one.name for one in package.description.structures),
        released[-1].sha256 if released else None,
        package.member(PROVENANCE) if PROVENANCE in package.names else None,
    )
    handed_in = read_handed_in(folders, who.trust, now)
    return judge(policy, candidate, handed_in, who.trust, study_gate(who.gate, package.sha256, releases.requires))


def _show(name: str, judged: "Judged", as_json: bool) -> None:
    if as_json:
        evidence = judged.evidence.model_dump(mode="json") if judged.evidence else None
        gates = [gate.as_json() for gate in judged.gates]
        promoted = {"package": name, "promoted": evidence is not None, "gates": gates, "recorded": evidence}
        typer.echo(json.dumps({"schema_version": 1, **promoted}, indent=2, ensure_ascii=False))
        return
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=name, title_justify="left", box=box.SIMPLE)
    for heading in ("gate", "asked", "found", ""):
        table.add_column(heading, overflow="fold")
    for gate in judged.gates:
        table.add_row(*map(escape, (gate.name, gate.asked, gate.found)), "[green]green" if gate.green else "[red]red")
    Console().print(table)
