"""Which model and cases `fedvoxel evaluate` takes, and with whom the model is compared."""

from pathlib import Path
from typing import TYPE_CHECKING

from fedvoxel.errors import ConfigError

if TYPE_CHECKING:
    from fedvoxel.cli.evaluate_options import Options
    from fedvoxel.evaluation.inference.model import Model
    from fedvoxel.evaluation.judgement.run import Against
    from fedvoxel.evaluation.judgement.subject import Subjects
    from fedvoxel.export.trust import Trust
    from fedvoxel.volumes.split import Split

_STATE, _LOCAL = "state", "local"


def opened_model(package: Path, trust: "Trust", asked: "Options") -> "Model":
    """Opens a package and makes its model ready.

    Raises:
        PackageError: It is not to be trusted.
        PredictionError: Its model cannot be used.
    """
    from fedvoxel.evaluation.inference.memory import MemoryBound
    from fedvoxel.evaluation.inference.model import open_model
    from fedvoxel.export.package import open_package

    return open_model(open_package(package, trust), MemoryBound(asked.memory_mb), asked.threads)


def subjects_of(asked: "Options", model: "Model") -> "Subjects":
    """Lists the cases.

    Raises:
        ConfigError: Options contradict each other, or one is missing.
        CohortError: The cohort, or the folders, cannot be used.
    """
    from fedvoxel.evaluation.judgement.subject import Asked, cohort_subjects, paired_subjects

    names = tuple(structure.name for structure in model.package.description.structures)
    if asked.cohort is None:
        if asked.images is None or asked.labels is None or asked.site or asked.reader:
            raise ConfigError("expected a cohort with --site; or --images and --labels alone")
        return paired_subjects(asked.images, asked.labels, names)
    if asked.images or asked.labels:
        raise ConfigError("expected either a cohort or --images and --labels, got both")
    if not asked.site:
        raise ConfigError("expected --site: the file that describes the cohort, <kit>/local/fedvoxel_site.json")
    return cohort_subjects(asked.site, Asked(asked.cohort, split_of(asked), names, asked.reader))


def cohort_name(asked: "Options") -> str:
    """Returns what the cases are called in the report; never a path."""
    return asked.cohort or "pairs of files"


def split_of(asked: "Options") -> "Split | None":
    """Returns which patients are wanted; None for all."""
    return None if asked.images or asked.split == "all" else asked.split


def against_of(asked: "Options", other: "Model | None") -> "Against | None":
    """Returns with whom the model is compared, and where that is stated.

    Raises:
        ConfigError: Two are named, or a margin without any.
    """
    from fedvoxel.evaluation.judgement.registration import FOLDER
    from fedvoxel.evaluation.judgement.run import Against

    if other is not None and asked.reader is not None:
        raise ConfigError("expected --against or --reader, got both: compare with one after the other")
    place = _state_folder(asked) / FOLDER
    if other is not None:
        package = other.package
        name = f"{package.description.name} {package.description.version}"
        return Against("model", name, package.sha256, asked.metric, asked.margin, place, other)
    if asked.reader is not None:
        return Against("reader", "the second reader", Path(asked.reader).name, asked.metric, asked.margin, place)
    if asked.margin is not None:
        raise ConfigError("expected --against or --reader with --margin: with whom is the model compared?")
    return None


def _state_folder(asked: "Options") -> Path:
    """Returns the first site's state folder, which outlives every report; beside the images where there is no site."""
    if not asked.site:
        return (asked.images or Path()) / _STATE
    folder = asked.site[0].resolve().parent
    return (folder.parent if folder.name == _LOCAL else folder) / _STATE
