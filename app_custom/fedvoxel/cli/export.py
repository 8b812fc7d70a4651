"""`fedvoxel export …`: makes a signed package of a job's model; checks, shows and unpacks packages."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import click
import typer
from typer.core import TyperGroup

from fedvoxel.cli.export_view import facts_of, show_package, show_results
from fedvoxel.cli.trust_options import RevocationList, Root, read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fedvoxel.export.description import ModelDescription
    from fedvoxel.export.job_model import JobModel
    from fedvoxel.volumes.plan import PreparedCase

_DEFAULT = "job"
PackageFile = Annotated[Path, typer.Argument(metavar="PACKAGE", help="A .fvpkg file.", show_default=False)]


class _JobByDefault(TyperGroup):
    """Takes `fedvoxel export RESULT` for `fedvoxel export job RESULT`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_JobByDefault,
    no_args_is_help=True,
    add_completion=False,
    help="Export a job's model as one signed package; check, show and unpack packages.",
    epilog="Example: fedvoxel export downloads/3c5c62d1 --describe hippocampus.json "
    "--sign kits/scientist@consortium.example",
)


@app.command(
    epilog="Example: fedvoxel export downloads/3c5c62d1 --describe hippocampus.json "
    "--sign kits/scientist@consortium.example"
)
def job(
    result: Annotated[Path, typer.Argument(help="The folder that download_job made.", show_default=False)],
    describe: Annotated[Path, typer.Option(help="The model's description, a JSON file.", show_default=False)],
    sign: Annotated[Path, typer.Option(help="The kit of the person or site that signs.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the package.")] = Path(),
    model: Annotated[Literal["best", "last", "personal"], typer.Option(help="Which model of the run.")] = "best",
    calibration: Annotated[Path | None, typer.Option(help="A calibration.json to put in.")] = None,
    licence: Annotated[Path | None, typer.Option(help="A text: under which licence the model may be used.")] = None,
    audit_head: Annotated[
        str | None, typer.Option(help="The head that `fedvoxel audit verify` shows of the server's log.")
    ] = None,
) -> None:
    """Makes a signed package of a finished job's model: ONNX, torch.export, MONAI bundle, model card, provenance.

    Every form is checked against the trained network before anything is written. Exit code 17 if one does not agree.
    """
    from rich.console import Console

    from fedvoxel.export.exporting import export_model
    from fedvoxel.export.job_model import read_description
    from fedvoxel.records.identity import load_identity

    console = Console()
    source = _read_job(result, model)
    description = read_description(describe, source.task)
    beside = _beside(calibration, licence, audit_head)
    with console.status("converting and checking the network (up to some minutes)"):
        identity = load_identity(sign / "startup")
        package, forms = export_model(source, description, identity, out, datetime.now(UTC), beside)
    show_package(console, package)
    for name, found in forms.agreement.items():
        console.print(
            f"{name}: {found.argmax:.4%} of the labels as the trained network, probabilities to {found.softmax:.1e}",
            highlight=False,
        )
    size = "any size" if forms.any_size else "the job's window size only"
    console.print(f"The programs take windows of {size}.", highlight=False)
    console.print(f"Next: fedvoxel export check {package.path} --root ROOT --data IMAGE.nii.gz", soft_wrap=True)


@app.command(epilog="Example: fedvoxel export check hippocampus-1.0.0.fvpkg --root rootCA.pem --data case.nii.gz")
def check(
    package: PackageFile,
    root: Root,
    crl: RevocationList = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="A NIfTI image, or a site's fedvoxel_site.json; may be repeated.")
    ] = None,
    cohort: Annotated[str | None, typer.Option(help="The site's cohort; its test cases are used.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Checks that weights, torch.export program and ONNX of a package agree on real images.

    Without --data only a made-up image is used. Exit code 17 if the package is not trusted, or a form does not agree.
    """
    from rich.console import Console

    from fedvoxel.errors import PackageError
    from fedvoxel.export.form_check import check_forms
    from fedvoxel.export.package import open_package

    console = Console(stderr=as_json)
    opened = open_package(package, read(root, crl))
    results = []
    with console.status("comparing") as status:
        for one in check_forms(opened, _cases(data or [], cohort, opened.description)):
            results.append(one)
            status.update(f"comparing: {one.case}, {one.form}")
    if as_json:
        rows = [one.model_dump(mode="json") for one in results]
        typer.echo(json.dumps({"package": opened.sha256, "real_images": bool(data), "results": rows}, indent=2))
    else:
        show_results(console, results)
    wrong = [one for one in results if not one.holds]
    if wrong:
        raise PackageError(f"{len(wrong)} of {len(results)} comparisons are off, first {wrong[0].form}; do not use it")
    if not data:
        console.print("Only a made-up image was used. Next: give real ones with --data")
    else:
        console.print(f"All forms agree on {len({one.case for one in results})} cases.")


@app.command(epilog="Example: fedvoxel export show hippocampus-1.0.0.fvpkg --root kits/hospital-a")
def show(
    package: PackageFile,
    root: Root,
    crl: RevocationList = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Verifies a package, and says who signed it, when, and what it holds. Exit code 17 if it cannot be trusted."""
    from rich.console import Console

    from fedvoxel.export.package import open_package

    trust = read(root, crl)
    opened = open_package(package, trust)
    if as_json:
        typer.echo(json.dumps(facts_of(opened), indent=2, ensure_ascii=False))
        return
    console = Console()
    show_package(console, opened)
    for structure in opened.description.structures:
        console.print(f"  finds {structure.label}", highlight=False, markup=False)
    for name in opened.names:
        console.print(f"  {opened.manifest.members[name].size_bytes:>12,}  {name}", highlight=False, markup=False)
    if trust.crl is None:
        console.print("No revocation list was given, so that nobody looked for revoked certificates.")


@app.command(epilog="Example: fedvoxel export unpack hippocampus-1.0.0.fvpkg hippocampus --root rootCA.pem")
def unpack(
    package: PackageFile,
    folder: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    root: Root,
    crl: RevocationList = None,
) -> None:
    """Verifies a package and unpacks it, for who works with its MONAI bundle. Prediction and review never need it."""
    from fedvoxel.export.package import open_package
    from fedvoxel.export.unpacking import unpack_package

    opened = open_package(package, read(root, crl))
    unpack_package(opened, folder)
    typer.echo(
        f"{len(opened.names)} files in {folder}, signed by {opened.signed_by}. Next: {folder}/bundle/docs/README.md"
    )


def _read_job(result: Path, choice: Literal["best", "last", "personal"]) -> "JobModel":
    from fedvoxel.evaluation.job_result import open_job_result
    from fedvoxel.evaluation.trained_job import read_task
    from fedvoxel.export.job_model import read_job_model

    opened = open_job_result(result)
    return read_job_model(opened.workspace, opened.outcome, read_task(opened), choice)


def _beside(calibration: Path | None, licence: Path | None, audit_head: str | None) -> Any:
    from fedvoxel.errors import ConfigError
    from fedvoxel.export.bundle import NO_LICENCE
    from fedvoxel.export.exporting import Beside

    try:
        return Beside(
            calibration=calibration.read_bytes() if calibration else None,
            licence=licence.read_text(encoding="utf-8") if licence else NO_LICENCE,
            audit_head=audit_head,
        )
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the calibration or the licence cannot be read ({type(error).__name__})") from None


def _cases(data: list[Path], cohort: str | None, description: "ModelDescription") -> "Iterable[PreparedCase]":
    from fedvoxel.export.form_check import cohort_cases, images_of, made_up_case

    if not data:
        return [made_up_case(description)]
    site_files = [path for path in data if path.suffix == ".json"]
    cases: list[PreparedCase] = []
    for path in site_files:
        cases += cohort_cases(path, cohort, description)
    return [*cases, *images_of([path for path in data if path not in site_files], description)]
