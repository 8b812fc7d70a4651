"""`fedvoxel job watch`: writes the job that watches a package in use at all hospitals."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedvoxel.cli.trust_options import RevocationList, Root, read

if TYPE_CHECKING:
    from fedvoxel.export.package import Package

WATCH_EXAMPLE = (
    "Example: fedvoxel job watch jobs/drift_watch hippocampus-1.0.0.fvpkg --root hospital-a --cohort hippocampus "
    "--out watch"
)


def watch(
    job: Annotated[Path, typer.Argument(help="The job folder to begin with: jobs/drift_watch.", show_default=False)],
    package: Annotated[Path, typer.Argument(help="The signed package: NAME-VERSION.fvpkg.", show_default=False)],
    root: Root,
    out: Annotated[Path, typer.Option("--out", help="The new job folder; it must not exist yet.")],
    crl: RevocationList = None,
    cohort: Annotated[str | None, typer.Option(help="The cohort whose policy decides; default: the job's.")] = None,
    model: Annotated[str | None, typer.Option(help="The name in the sites' files; default: the package's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Writes a drift watch of one package: its hash, its structures, and its calibration's counts to compare with.

    The counts come from the signed package alone. Exit codes: 3 for a package without a calibration, or a job of
    another kind; 17 if the package is not trusted.
    """
    from fedvoxel.export.package import open_package
    from fedvoxel.flare.job_kinds import understand, variant
    from fedvoxel.governance.job_folder import read_job_folder, write_job_folder

    opened = open_package(package, read(root, crl))
    values = _of_package(opened) | ({} if model is None else {"model": model})
    values |= {} if cohort is None else {"cohort": cohort}
    made = variant(understand(read_job_folder(job)), values)
    write_job_folder(made.folder, out)
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "job": str(out), "set": values}, indent=2))
    else:
        typer.echo(f"Wrote {out}. Check it with: fedvoxel job check {out}")


def _of_package(opened: "Package") -> dict[str, Any]:
    from fedvoxel.errors import ConfigError
    from fedvoxel.export.calibration import calibration_of
    from fedvoxel.federation.drift.reference import reference_of

    calibration = calibration_of(opened)
    if calibration is None:
        raise ConfigError("the package has no calibration to compare with (docs/uncertainty.md)")
    return {
        "model": opened.description.name,
        "package": opened.sha256,
        "classes": list(calibration.plan.structures),
        "reference": reference_of(calibration).model_dump(mode="json"),
    }
