"""Which cases `fedvoxel evaluate` judges a model on, and with whom it is compared."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fedvoxel.errors import ConfigError

if TYPE_CHECKING:
    from fedvoxel.evaluation.inference.model import Model
    from fedvoxel.evaluation.judgement.comparison import Metric
    from fedvoxel.evaluation.judgement.run import Against
    from fedvoxel.evaluation.judgement.subject import Subjects
    from fedvoxel.volumes.split import Split

_STATE, _LOCAL = "state", "local"


@dataclass(frozen=True)
class AskedCases:
    """Is what the command line says of the cases."""

    cohort: str | None
    sites: tuple[Path, ...]
    split: "Split | None"
    images: Path | None
    labels: Path | None
    reader: str | None


@dataclass(frozen=True)
class AskedOther:
    """Is what it says of a comparison."""

    model: "Model | None"
    reader: str | None
    metric: "Metric"
    margin: float | None


def subjects_of(asked: AskedCases, model: "Model") -> "Subjects":
    """Lists the cases.

    Raises:
        ConfigError: Options contradict each other, or one is missing.
        CohortError: The cohort, or the folders, cannot be used.
    """
    from fedvoxel.evaluation.judgement.subject import Asked, cohort_subjects, paired_subjects

    names = tuple(structure.name for structure in model.package.description.structures)
    if asked.cohort is None:
        if asked.images is None or asked.labels is None or asked.sites or asked.reader:
            raise ConfigError("expected a cohort with --site; or --images and --labels alone")
        return paired_subjects(asked.images, asked.labels, names)
    if asked.images or asked.labels:
        raise ConfigError("expected either a cohort or --images and --labels, got both")
    if not asked.sites:
        raise ConfigError("expected --site: the file that describes the cohort, <kit>/local/fedvoxel_site.json")
    return cohort_subjects(asked.sites, Asked(asked.cohort, asked.split, names, asked.reader))


def cohort_name(asked: AskedCases) -> str:
    """Returns what the cases are called in the report; never a path."""
    return asked.cohort or "pairs of files"


def against_of(asked: AskedCases, other: AskedOther) -> "Against | None":
    """Returns with whom the model is compared, and where that was stated.

    Raises:
        ConfigError: Two are named, or a margin without any.
    """
    from fedvoxel.evaluation.judgement.registration import FOLDER
    from fedvoxel.evaluation.judgement.run import Against

    if other.model is not None and other.reader is not None:
        raise ConfigError("expected --against or --reader, got both: compare with one after the other")
    place = _state_folder(asked) / FOLDER
    if other.model is not None:
        package = other.model.package
        name = f"{package.description.name} {package.description.version}"
        return Against("model", name, package.sha256, other.metric, other.margin, place, other.model)
    if other.reader is not None:
        return Against("reader", "the second reader", other.reader, other.metric, other.margin, place)
    if other.margin is not None:
        raise ConfigError("expected --against or --reader with --margin: with whom is the model compared?")
    return None


def _state_folder(asked: AskedCases) -> Path:
    """Returns the first site's state folder, which outlives every report; beside the images where there is no site."""
    if not asked.sites:
        return (asked.images or Path()) / _STATE
    folder = asked.sites[0].resolve().parent
    return (folder.parent if folder.name == _LOCAL else folder) / _STATE
