"""What a pipeline is told: which job, as whom, what is asked of the model, and where it goes.

Paths only, never a secret: Kubeflow keeps what a pipeline is given. Keys stay in the kit that a path names, and a login
for MLflow in the environment.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.evaluation.run_gate import GateRule
from fedvoxel.ops.trackers.places import checked_url

_Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class MlflowRegistry(FrozenModel):
    """Is the MLflow server whose registry mirrors the index of releases."""

    url: str
    project: _Line = "fedvoxel"


class PipelineSettings(FrozenModel):
    """Is the content of the settings file; paths are relative to its folder.

    Attributes:
        job: The job folder.
        kit: The kit of the person who submits the job, and signs the model.
        site_kits: Kits of hospitals on this machine, which are checked beside those that are asked over the network.
        gate: What is asked of the model.
        describe: The model's description, as `fedvoxel export --describe` takes it.
        releases: The index of releases, in which the model becomes a candidate; made where there is none.
        reason: Why, for those who read the index.
        seen: What was seen of indexes of releases, so that an older copy is not taken for the present one; None for the
            file in the home of whoever runs the pipeline.
        mlflow: The registry that mirrors the index; None for none.
    """

    schema_version: Literal[1] = 1
    job: Path
    kit: Path
    site_kits: tuple[Path, ...] = ()
    gate: GateRule
    describe: Path
    releases: Path
    reason: _Line
    seen: Path | None = None
    mlflow: MlflowRegistry | None = None


def read_settings(path: Path) -> PipelineSettings:
    """Reads a settings file; the paths in it become absolute.

    Raises:
        ConfigError: It is missing, holds an unknown key or a wrong value, or MLflow's address holds a login or is none.
    """
    read = load_json_config(PipelineSettings, path, "the pipeline's settings")
    if read.mlflow is not None:
        checked_url(read.mlflow.url)
    folder = path.resolve().parent
    named = ("job", "kit", "describe", "releases", *(("seen",) if read.seen else ()))
    found = {name: folder / getattr(read, name) for name in named}
    return read.model_copy(update={**found, "site_kits": tuple(folder / kit for kit in read.site_kits)})
