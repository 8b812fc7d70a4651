"""A site's own model after its last round of a run, which a cross-site evaluation asks for: one file for each cohort.

It is neither clipped nor noised. So none is kept under a privacy section, and what one cohort has left behind is not
found under another's name: whether it may leave is judged by the cohort that the asking job names.
"""

from pathlib import Path

from fedvoxel.errors import ConfigError
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import load_weights


def local_model_file(folder: Path, cohort: str) -> Path:
    """Returns where the model lies.

    Args:
        folder: The run's folder in the site's state.
        cohort: A cohort that the hospital's policy names, which no path can be.
    """
    return folder / f"local_model.{cohort}.npz"


def load_local_model(folder: Path, cohort: str) -> Arrays:
    """Returns the model that training on a cohort has left; see `local_model_file`.

    Raises:
        ConfigError: There is none: the run did not train on this cohort here, or trained it under a privacy section.
        UpdateError: The file is not one that this package wrote.
    """
    path = local_model_file(folder, cohort)
    if not path.is_file():
        raise ConfigError(
            "this site has no model of its own from that run and cohort: expected a run_key that it has trained under, "
            "on the same cohort, without a privacy section"
        )
    return load_weights(path)
