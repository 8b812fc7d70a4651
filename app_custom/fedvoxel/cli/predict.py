"""`fedvoxel predict`: uses a signed model on a hospital's own studies, and puts what it finds beside the images."""

from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import typer

from fedvoxel.cli import predict_options as o
from fedvoxel.cli.predict_source import Asked, asked_for, images_of, store_at
from fedvoxel.cli.predict_view import Done, Failure, show
from fedvoxel.cli.trust_options import Index, RevocationList, Root, Unknown, read, remarks_on_release
from fedvoxel.errors import ConfigError, FedVoxelError

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.cli.predict_source import Image
    from fedvoxel.evaluation.inference.model import Model
    from fedvoxel.evaluation.inference.run import Job
    from fedvoxel.export.trust import Trust

app = typer.Typer(add_completion=False, help="Use a signed model on a study.")

EPILOG = (
    "Examples: fedvoxel predict hippocampus-1.0.0.fvpkg study/ --root kits/hospital-a --releases /share/releases; "
    "from the PACS and back: fedvoxel predict hippocampus-1.0.0.fvpkg --root kits/hospital-a --pacs radiology "
    "--query query.json --site kits/hospital-a/local/fedvoxel_site.json --store radiology"
)


@app.command(epilog=EPILOG)
def predict(
    package: o.PackageFile,
    study: o.StudyPath = None,
    *,
    root: Root,
    crl: RevocationList = None,
    releases: Index = None,
    allow_unknown: Unknown = False,
    out: o.Out = Path("predictions"),
    series: o.SeriesNumber = None,
    everybody: o.Everybody = False,
    pacs: o.FromPacs = None,
    query: o.Query = None,
    store: o.StoreAt = None,
    new_study: o.NewStudy = False,
    site: o.SiteFile = None,
    calibration: o.OwnCalibration = None,
    quick: o.Quick = False,
    maps: o.Maps = False,
    explain: o.Explain = None,
    eight_bit: o.EightBit = False,
    memory_mb: o.Memory = 4096,
    threads: o.Threads = None,
    runtime: o.Runtime = "auto",
    as_json: o.AsJson = False,
) -> None:
    """Find the model's structures in a study, and write a DICOM segmentation and a measurement report for it.

    For research use only. The results carry the study's own patient: they stay in the hospital. A NIfTI file gets a
    label map instead. Of several studies each gets its result, and one that cannot be used is passed over.

    Exit codes: 0; 3 if a file or option is wrong; 4 if a series makes no volume; 8 if root or list is not in order;
    15 if a DICOM file or the PACS fails; 17 if the package is not to be trusted; 18 if the study is not one that the
    model was made for or like, does not fit into memory, or the result failed its test (of several: the first).
    """
    asked = asked_for(Asked(study, pacs, query, site, store, everybody, new_study))
    trust = read(root, crl)
    model = _calibrated(opened_model(package, trust, memory_mb, threads, runtime), calibration)
    remarks = remarks_on_release(model.package, releases, trust, allow_unknown)
    _run(asked, _job(model, out, series, remarks, (not quick, maps, explain, eight_bit)), as_json)


def _run(asked: Asked, job: "Job", as_json: bool) -> None:
    from rich.console import Console

    console = Console(stderr=True)
    with images_of(asked, job, console) as images:
        done = _predicted(images, job, console)
    problem = store_at(asked, [path for outcome in done.outcomes for path in outcome.objects])
    show(done, job, None if problem else asked.store, as_json)
    for error in (problem, *(failure.error for failure in done.failures)):
        if error is not None:
            raise error


def _job(
    model: "Model",
    out: Path,
    series: int | None,
    remarks: tuple[str, ...],
    how: tuple[bool, bool, float | None, bool],
) -> "Job":
    from fedvoxel.evaluation.inference.run import Job

    return Job(model, out, series, remarks, *how)


def _calibrated(model: "Model", own: Path | None) -> "Model":
    from fedvoxel.evaluation.uncertainty.own_calibration import with_own_calibration

    return model if own is None else with_own_calibration(model, own)


def opened_model(package: Path, trust: "Trust", memory_mb: int, threads: int | None, runtime: str) -> "Model":
    """Returns the model of a package, with what the command line says of memory, cores and runtime.

    Raises:
        ConfigError: There is no such runtime.
        PackageError: The package is not to be trusted.
        PredictionError: Its model cannot be used.
    """
    from fedvoxel.evaluation.inference.memory import MemoryBound
    from fedvoxel.evaluation.inference.model import Choice, open_model
    from fedvoxel.export.package import open_package

    choices = get_args(Choice)
    if runtime not in choices:
        raise ConfigError(f"expected --runtime to be one of {', '.join(choices)}, got {runtime!r}")
    return open_model(open_package(package, trust), MemoryBound(memory_mb), threads, cast("Choice", runtime))


def _predicted(images: "list[Image]", job: "Job", console: "Console") -> Done:
    """Predicts one after the other; what cannot be predicted is noted, and the others go on."""
    from fedvoxel.cli.progress import counting

    outcomes, failures = [], []
    for image in images:
        try:
            with counting(console, f"predicting {image.name}") as progress:
                outcomes.append(image.predict(job, progress))
        except FedVoxelError as error:
            failures.append(Failure(image.name, error))
    return Done(tuple(outcomes), tuple(failures))
