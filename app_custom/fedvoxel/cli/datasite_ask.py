"""`fedvoxel datasite ask | answers`: the data scientist's side of a hospital's Syft datasite."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedvoxel.errors import ConsortiumError, FedVoxelError, PackageError

if TYPE_CHECKING:
    from fedvoxel.export.package import Package
    from fedvoxel.governance.evaluation_request import EvaluationRequest
    from fedvoxel.ops.datasite.box import Letter
    from fedvoxel.records.identity import Identity

ASK_EXAMPLE = (
    "Example: fedvoxel datasite ask kits/scientist@consortium.example hippocampus-1.1.0.fvpkg --site hospital-a "
    '--cohort hippocampus --metric dice --box /share/SyftBox --purpose "is 1.1.0 as good as 1.0.0 at your hospital"'
)
ANSWERS_EXAMPLE = (
    "Example: fedvoxel datasite answers kits/scientist@consortium.example --site hospital-a --box /share/SyftBox"
)
_STATUS = {"done": "returned", "rejected": "rejected"}
"""What Syft's states mean; of anything else one waits."""

OwnKit = Annotated[Path, typer.Argument(metavar="KIT", help="Your own kit.", show_default=False)]
Box = Annotated[
    Path, typer.Option("--box", envvar="FEDVOXEL_SYFTBOX", help="Syft's folder (SyftBox), shared with the other side.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


def ask(
    kit: OwnKit,
    package: Annotated[Path, typer.Argument(help="The signed package, NAME-VERSION.fvpkg.", show_default=False)],
    site: Annotated[str, typer.Option("--site", help="The hospital's site.")],
    cohort: Annotated[str, typer.Option("--cohort", help="The hospital's cohort, by its name there.")],
    purpose: Annotated[str, typer.Option("--purpose", help="What for: people of the hospital read it.")],
    box: Box,
    split: Annotated[str, typer.Option("--split", help="test, validation, training or all.")] = "test",
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="dice, nsd, hd95, volume or counts; repeat for several.")
    ] = None,
) -> None:
    """Ask a hospital what a package is worth on its cases. What travels is a signed request in words; no code.

    The hospital must have the package in its index of releases; the request names it by its hash.

    Exit codes: 3 if something that cannot be asked is asked, 8 if the kit is none, 17 if the package is not to be
    trusted.
    """
    from fedvoxel.export.package import open_package
    from fedvoxel.export.trust import read_trust
    from fedvoxel.governance.evaluation_request import content_of, request_file
    from fedvoxel.ops.datasite.box import LetterBox, syft_name

    identity, opened = _identity(kit), open_package(package, read_trust(kit))
    asked = {"site": site, "cohort": cohort, "split": split, "metrics": metric or ["dice"], "purpose": purpose}
    request = _request(opened, asked)
    file = request_file(request, identity, datetime.now(UTC))
    LetterBox(box, identity.name).send(syft_name(site), f"evaluation-{request.id[:12]}", file)
    typer.echo(f"Asked {site}: request {content_of(file)}")
    typer.echo(f"Next, once its people have decided: fedvoxel datasite answers {kit} --site {site} --box {box}")


def answers(
    kit: OwnKit,
    site: Annotated[str, typer.Option("--site", help="The hospital's site.")],
    box: Box,
    as_json: AsJson = False,
) -> None:
    """Show what became of your requests; an answer counts only with the signature of the hospital's site.

    Exit code 17 if an answer is not what the hospital signed for the request beside it.
    """
    from fedvoxel.cli.datasite_view import tell_answers
    from fedvoxel.ops.datasite.box import LetterBox, syft_name

    name = _identity(kit).name
    box_here, datasite = LetterBox(box, name), syft_name(site)
    letters = box_here.letters(datasite, name)
    found = [_answer(kit, site, letter, box_here.answer_to(letter, datasite)) for letter in letters]
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "requests": found}, indent=2, ensure_ascii=False))
    else:
        tell_answers(found)
    if any(one["problem"] for one in found):
        raise typer.Exit(PackageError.exit_code)


def _request(package: "Package", asked: dict[str, Any]) -> "EvaluationRequest":
    from fedvoxel.config import parse_config
    from fedvoxel.governance.evaluation_request import EvaluationRequest, new_id

    said = package.description
    about = {"id": new_id(), "package": package.sha256, "model": said.name, "version": said.version}
    return parse_config(EvaluationRequest, about | asked, "the request")


def _answer(kit: Path, site: str, letter: "Letter", file: bytes | None) -> dict[str, Any]:
    """Returns what became of a request, as JSON values."""
    from fedvoxel.export.trust import read_trust
    from fedvoxel.governance.evaluation_request import content_of, read_request
    from fedvoxel.ops.datasite.answer import read_answer

    content, answer, problem = content_of(letter.file or b""), None, None
    if file is not None:
        try:
            trust, now = read_trust(kit), datetime.now(UTC)
            read = read_answer(file, read_request(letter.file or b"", site, trust, now), trust, now)
            answer = read.model_dump(mode="json", exclude_none=True)
        except FedVoxelError as error:
            problem = str(error)
    return {"request": content, "status": _STATUS.get(letter.status, "waiting"), "answer": answer, "problem": problem}


def _identity(kit: Path) -> "Identity":
    from fedvoxel.records.identity import load_identity, role_of
    from fedvoxel.records.pem import certificate_in

    identity = load_identity(kit / "startup")
    if not role_of(certificate_in(identity.certificate.encode())):
        raise ConsortiumError(f"kit {identity.name} is no person's: a person asks; give your own kit")
    return identity
