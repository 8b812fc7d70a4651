"""`fedvoxel calibrate`: how far a package's model can be trusted on one hospital's own patients."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.cli.trust_options import RevocationList, Root, read

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.evaluation.inference.model import Model
    from fedvoxel.evaluation.uncertainty.hospital_sums import HospitalCases
    from fedvoxel.evaluation.uncertainty.own_calibration import OwnCalibration
    from fedvoxel.federation.calibration.calibration import Calibration

app = typer.Typer(add_completion=False, help="Learn how far a model can be trusted on your own patients.")


@app.command(
    epilog="Example: fedvoxel calibrate hippocampus-1.0.0.fvpkg --site hospital-a/local/fedvoxel_site.json "
    "--cohort hippocampus --root hospital-a --out calibration.json"
)
def calibrate(
    package: Annotated[Path, typer.Argument(help="The signed package: NAME-VERSION.fvpkg.")],
    site: Annotated[Path, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")],
    cohort: Annotated[str, typer.Option("--cohort", help="The cohort whose validation cases are used.")],
    root: Root,
    crl: RevocationList = None,
    out: Annotated[Path, typer.Option("--out", help="Where the calibration goes.")] = Path("calibration.json"),
    memory_mb: Annotated[int, typer.Option("--memory-mb", min=512, help="Most memory, in MiB.")] = 4096,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use; all by default.")] = None,
) -> None:
    """Calibrate a package's model on one cohort: the volume intervals alone, where the package has a calibration.

    Of a package without one all is fitted, which takes minutes. The file is yours, and of this package: predict takes
    it with --calibration. Exit codes: 0; 3 if a file is wrong; 5 for too few patients; 17 if the package is not
    trusted; 18 if it is unusable.
    """
    from rich.console import Console

    from fedvoxel.evaluation.inference.memory import MemoryBound
    from fedvoxel.evaluation.inference.model import open_model
    from fedvoxel.evaluation.uncertainty.own_calibration import package_cases
    from fedvoxel.export.package import open_package
    from fedvoxel.records.atomic import write_json

    console = Console(stderr=True)
    model = open_model(open_package(package, read(root, crl)), MemoryBound(memory_mb), threads)
    made = _made(model, package_cases(model, site, cohort), console)
    write_json(out, made.model_dump(mode="json"))
    _show(made.calibration, out)


def _made(model: "Model", cases: "HospitalCases", console: "Console") -> "OwnCalibration":
    from fedvoxel.cli.progress import counting
    from fedvoxel.evaluation.uncertainty.own_calibration import calibrate as calibrated

    with counting(console, "looking at cases") as progress:
        return calibrated(cases, model, progress)


def _show(made: "Calibration", out: Path) -> None:
    from fedvoxel.evaluation.uncertainty.own_calibration import factor_of
    from fedvoxel.federation.calibration.score_counts import least_patients

    for name, errors in made.volume_errors.items():
        bound = errors.bound(made.coverage) if errors else None
        if bound is None:
            patients, needed = errors.patients if errors else 0, least_patients(made.coverage)
            typer.echo(f"{name}: no interval ({patients} patients; {needed} are needed, and next to none missed)")
        else:
            typer.echo(f"{name}: within a factor of {factor_of(bound):.3f} for {made.coverage:.0%} of patients")
    typer.echo(f"{out}. Next: fedvoxel predict PACKAGE STUDY --calibration {out}")
