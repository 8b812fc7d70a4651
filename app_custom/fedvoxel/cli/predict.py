"""`fedvoxel predict`: uses a signed model on a hospital's own studies, and puts what it finds beside the images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from fedvoxel.cli.predict_source import Asked, asked_for, images_of, store_at
from fedvoxel.cli.predict_view import Done, Failure, show
from fedvoxel.cli.trust_options import RevocationList, Root, read
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
_LEAST_MB = 512


@app.command(epilog=EPILOG)
def predict(
    package: Annotated[Path, typer.Argument(help="The signed package: NAME-VERSION.fvpkg.")],
    study: Annotated[
        Path | None, typer.Argument(help="A folder of DICOM files, or a NIfTI file; or take it from a --pacs.")
    ] = None,
    *,
    root: Root,
    crl: RevocationList = None,
    releases: Annotated[
        Path | None,
        typer.Option(
            "--releases",
            envvar="FEDVOXEL_RELEASES",
            help="The index of releases: a withdrawn package is refused, and so is one that the index does not know.",
        ),
    ] = None,
    unknown: Annotated[
        bool, typer.Option("--allow-unknown", help="Also a package that the index of releases does not know.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the results (mode 0700), each in one of its own.")
    ] = Path("predictions"),
    series: Annotated[
        int | None, typer.Option("--series", min=1, help="The number of the series, where several fit the model.")
    ] = None,
    everybody: Annotated[
        bool, typer.Option("--all", help="Also where the folder holds studies of several patients.")
    ] = False,
    pacs: Annotated[
        str | None, typer.Option("--pacs", help="Take the study from this PACS of the site's file.")
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(
            "--query",
            help="A JSON file, or - for standard input, with StudyInstanceUID, AccessionNumber or PatientID: other "
            "users of this machine can see a command line, so identifiers are not taken from there.",
        ),
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Store segmentation and report at this PACS of the site's file.")
    ] = None,
    site: Annotated[
        Path | None, typer.Option("--site", help="The site's own file: <kit>/local/fedvoxel_site.json.")
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="Your own, from `fedvoxel calibrate`, in the place of the package's."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="No changed copies of the image: no estimate of quality, several times faster."),
    ] = False,
    maps: Annotated[
        bool, typer.Option("--maps", help="Write maps of entropy, disagreement and confidence too (NIfTI).")
    ] = False,
    explain: Annotated[
        float | None,
        typer.Option(
            "--explain", min=0, help="Write which parts of the image each structure rests on; seconds for each."
        ),
    ] = None,
    memory_mb: Annotated[
        int, typer.Option("--memory-mb", min=_LEAST_MB, help="Most memory that this may take, in MiB.")
    ] = 4096,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Cores to use; all by default.")] = None,
    runtime: Annotated[
        str, typer.Option("--runtime", help="auto, onnxruntime or openvino; auto is OpenVINO where it is installed.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Find the model's structures in a study, and write a DICOM segmentation and a measurement report for it.

    For research use only. The results carry the study's own patient: they stay in the hospital. A NIfTI file gets a
    label map in place of the DICOM objects. Of several studies each gets its result, and one that cannot be used is
    reported and passed over; the exit code is then that of the first such study.

    Exit codes: 0; 3 if a file or option is wrong; 4 if a series makes no volume; 8 if root or list is not in order;
    15 if a DICOM file or the PACS fails; 17 if the package is not to be trusted; 18 if the study is not one that the
    model was made for or trained on, does not fit into the memory, or the result failed its own test.
    """
    from rich.console import Console

    from fedvoxel.evaluation.inference.run import Job

    asked = asked_for(Asked(study, pacs, query, site, store, everybody))
    console = Console(stderr=True)
    trust = read(root, crl)
    model = _calibrated(_model(package, trust, memory_mb, threads, runtime), calibration)
    remarks = _release_remarks(model, releases, trust, unknown)
    job = Job(model, out, series, remarks, views=not quick, maps=maps, explain_s=explain)
    with images_of(asked, job, console) as images:
        done = _predicted(images, job, console)
    problem = store_at(asked, [path for outcome in done.outcomes for path in outcome.objects])
    show(done, job, None if store is None or problem else store, as_json)
    for error in (problem, *(failure.error for failure in done.failures)):
        if error is not None:
            raise error


def _release_remarks(model: "Model", folder: Path | None, trust: "Trust", unknown: bool) -> tuple[str, ...]:
    """Returns what the index of releases says of a package that may be used."""
    if folder is None:
        return ()
    from fedvoxel.export.releases import Releases

    name = f"{model.algorithm.name} {model.algorithm.version}"
    warning = Releases(folder, trust).admit(model.package.sha256, name, unknown)
    return (f"{warning}.",) if warning else ()


def _model(package: Path, trust: "Trust", memory_mb: int, threads: int | None, runtime: str) -> "Model":
    from fedvoxel.evaluation.inference.memory import MemoryBound
    from fedvoxel.evaluation.inference.model import Choice, open_model
    from fedvoxel.export.package import open_package

    choices = get_args(Choice)
    if runtime not in choices:
        raise ConfigError(f"expected --runtime to be one of {', '.join(choices)}, got {runtime!r}")
    return open_model(open_package(package, trust), MemoryBound(memory_mb), threads, cast("Choice", runtime))


def _calibrated(model: "Model", own: Path | None) -> "Model":
    from dataclasses import replace

    from fedvoxel.evaluation.uncertainty.packaged import read_own_calibration

    return model if own is None else replace(model, calibration=read_own_calibration(own, model.package.description))


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
