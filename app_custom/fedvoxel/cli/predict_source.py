"""Where `fedvoxel predict` takes its images from, and where its results are stored."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedvoxel.errors import ConfigError, DicomError

if TYPE_CHECKING:
    from rich.console import Console

    from fedvoxel.dicom.pacs import Pacs
    from fedvoxel.evaluation.inference.outcome import Outcome
    from fedvoxel.evaluation.inference.run import Job, Progress

_STANDARD_INPUT = "-"
_NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True)
class Asked:
    """Is what the command line says of the images and of the PACS."""

    study: Path | None
    pacs: str | None
    query: str | None
    site: Path | None
    store: str | None
    everybody: bool
    new_study: bool


@dataclass(frozen=True)
class Image:
    """Is one thing to be predicted.

    Attributes:
        name: What it is called on the screen: a number, or "the file".
        predict: Predicts it.
    """

    name: str
    predict: "Callable[[Job, Progress | None], Outcome]"


def asked_for(asked: Asked) -> Asked:
    """Returns what was asked for, if it can be done.

    Raises:
        ConfigError: Options contradict each other, or one is missing.
    """
    if (asked.study is None) == (asked.pacs is None):
        raise ConfigError("expected either a folder or file, or --pacs with --query")
    if (asked.pacs is None) != (asked.query is None):
        raise ConfigError("expected --pacs and --query together: which PACS, and which study there")
    if asked.site is None and (asked.pacs or asked.store):
        raise ConfigError("expected --site with --pacs or --store: the file that describes the PACS")
    if asked.study is not None and not asked.study.exists():
        raise ConfigError("expected a folder of DICOM files or a NIfTI file, got a name that does not exist")
    if asked.store and asked.study is not None and asked.study.is_file():
        raise ConfigError("expected a study in DICOM with --store: what comes of a NIfTI file is no DICOM object")
    return asked


@contextmanager
def images_of(asked: Asked, job: "Job", console: "Console") -> Iterator[list[Image]]:
    """Yields what is to be predicted; what was pulled from a PACS goes when the block is left.

    Raises:
        FedVoxelError: There is nothing, the studies are of several patients, or the PACS fails.
    """
    if asked.study is not None and asked.study.is_file():
        yield [_nifti(asked.study)]
    elif asked.study is not None:
        yield _studies(asked.study, asked.everybody)
    else:
        from fedvoxel.evaluation.inference.pulling import passing_folder

        with passing_folder(job.out) as folder:
            _pull(asked, job, folder, console)
            yield _studies(folder, asked.everybody)


def store_at(asked: Asked, paths: Sequence[Path]) -> DicomError | None:
    """Stores results where it was asked for, and says what went wrong; the files stay where they are either way."""
    if asked.store is None or not paths:
        return None
    from fedvoxel.dicom.confirming import store_confirmed

    try:
        store_confirmed(opened_pacs(asked, asked.store), paths, asked.new_study)
    except DicomError as error:
        later = "" if error.reason == "pacs_other_patient" else "; store them later with: fedvoxel pacs store"
        return DicomError(error.reason, f"{error}; the {len(paths)} objects stay on the disk{later}")
    return None


def opened_pacs(asked: Asked, name: str) -> "Pacs":
    """Returns a PACS of the site's file.

    Raises:
        ConfigError: It is not described there, or not in order.
    """
    from fedvoxel.cli.pacs_findings import opened
    from fedvoxel.volumes.site import load_site_config

    site = asked.site or Path()
    return opened(load_site_config(site), name, site.parent)


def _nifti(path: Path) -> Image:
    from fedvoxel.evaluation.inference.run import predict_nifti

    if not path.name.lower().endswith(_NIFTI):
        raise ConfigError("expected a folder of DICOM files, or a file that ends in .nii or .nii.gz")
    return Image("the file", lambda job, progress: predict_nifti(path, job, progress))


def _studies(folder: Path, everybody: bool) -> list[Image]:
    from fedvoxel.dicom.series import find_series
    from fedvoxel.evaluation.inference.run import predict_study
    from fedvoxel.evaluation.inference.study import check_one_patient, strays_beside, studies_in

    inventory = find_series(folder)
    studies = studies_in(inventory)
    if not everybody:
        check_one_patient(studies)

    def image(study: Any) -> Image:
        return Image(f"study {study.number}", lambda job, progress: predict_study(study, job, progress))

    strays = strays_beside(studies, inventory)
    return [*map(image, studies), *([] if strays is None else [_refused("other files", strays)])]


def _refused(name: str, problem: DicomError) -> Image:
    def predict(job: "Job", progress: "Progress | None") -> "Outcome":
        raise problem

    return Image(name, predict)


def _pull(asked: Asked, job: "Job", folder: Path, console: "Console") -> None:
    from fedvoxel.cli.progress import counting
    from fedvoxel.config import parse_config
    from fedvoxel.dicom.query import SeriesQuery
    from fedvoxel.evaluation.inference.pulling import pull_images

    query = parse_config(SeriesQuery, _query(asked.query or ""), "the query")
    pacs = opened_pacs(asked, asked.pacs or "")
    modalities = job.model.predictor.description.input.modalities
    with counting(console, "pulling series") as progress:
        pull_images(pacs, query, modalities, folder, progress)


def _query(source: str) -> Any:
    """Returns what the query says: of a file, or of standard input, which is a pipe most often."""
    from fedvoxel.config import json_of, read_json
    from fedvoxel.plain_file import MOST_TEXT_BYTES

    if source != _STANDARD_INPUT:
        return read_json(Path(source), "the query")
    with open(0, "rb", closefd=False) as stream:
        content = stream.read(MOST_TEXT_BYTES + 1)
    if len(content) > MOST_TEXT_BYTES:
        raise ConfigError(f"the query (standard input): expected at most {MOST_TEXT_BYTES} bytes")
    return json_of(content, "the query (standard input)")
