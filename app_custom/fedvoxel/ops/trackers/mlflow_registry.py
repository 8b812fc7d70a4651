"""MLflow's model registry as a mirror of the index of releases, which stays the one that counts.

A package becomes one version of the model that it is named after: its ONNX with a signature, its model card as
description, its identity as a tag. Aliases say which version is the newest of each state, and a tag on each version
says its own; both follow the index, whatever somebody has set at MLflow by hand.
"""

import io
import tempfile
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from fedvoxel.errors import ConfigError
from fedvoxel.export.manifest import ONNX, ONNX_INPUT, ONNX_OUTPUT
from fedvoxel.export.model_card import MODEL_CARD
from fedvoxel.export.package import Package
from fedvoxel.export.release import State
from fedvoxel.export.releases import Releases
from fedvoxel.ops.trackers.mlflow_tracker import mlflow_client
from fedvoxel.ops.trackers.reasons import in_our_words

PACKAGE_TAG, VERSION_TAG, STATE_TAG = "fedvoxel.package", "fedvoxel.version", "fedvoxel.state"
UNKNOWN = "not in the index"
_ONNX_DATA = f"{ONNX}.data"


@dataclass(frozen=True)
class Registered:
    """Is a package as MLflow has it.

    Attributes:
        model: The registered model.
        version: MLflow's number of the version.
        state: As the index says.
        new: Whether it was registered just now.
        aliases: MLflow's version by alias, as they are now.
    """

    model: str
    version: str
    state: str
    new: bool
    aliases: dict[str, str]


class Registry:
    """Is the model registry of one MLflow server."""

    def __init__(self, url: str, experiment: str) -> None:
        """Asks nothing of the server yet; runs that hold registered models go to `experiment`."""
        self._url, self._experiment = url, experiment
        self._client: Any = None

    def register(self, package: Package, releases: Releases) -> Registered:
        """Registers a package, unless it is there, and sets the states and aliases of its model as the index says.

        Raises:
            TrackerError: MLflow did not take it.
            ConfigError: onnx is not installed.
            PackageError: The package has changed meanwhile.
        """
        name = package.description.name
        with in_our_words("MLflow"):
            self._client = mlflow_client(self._url)
            versions = self._versions(name)
            new = package.sha256 not in versions
            if new:
                # MLflow tells of each step on standard error, where the command has one line for what goes wrong.
                with redirect_stderr(io.StringIO()):
                    versions[package.sha256] = self._add(package)
            self._describe(package, versions[package.sha256])
            for sha256, version in versions.items():
                state = releases.state_of(sha256) or UNKNOWN
                self._client.set_model_version_tag(name, version, STATE_TAG, state)
            aliases = self._mirror(name, versions, releases)
        state = releases.state_of(package.sha256) or UNKNOWN
        return Registered(name, versions[package.sha256], state, new, aliases)

    def _versions(self, name: str) -> dict[str, str]:
        """Returns MLflow's version of each package that it has, by the package's identity."""
        found = self._client.search_model_versions(f"name = '{name}'")
        return {one.tags[PACKAGE_TAG]: str(one.version) for one in found if PACKAGE_TAG in one.tags}

    def _add(self, package: Package) -> str:
        import mlflow

        mlflow.set_tracking_uri(self._url)
        mlflow.set_registry_uri(self._url)
        mlflow.set_experiment(self._experiment)
        said = package.description
        with mlflow.start_run(run_name=f"{said.name} {said.version}"), tempfile.TemporaryDirectory() as folder:
            logged = mlflow.onnx.log_model(
                _onnx_of(package, Path(folder)),
                name="model",
                signature=_signature(said.channels),
                pip_requirements=["onnxruntime"],
            )
            # With its tag from the first moment, so that a second call finds it.
            tags = {PACKAGE_TAG: package.sha256, VERSION_TAG: said.version}
            return str(mlflow.register_model(logged.model_uri, said.name, tags=tags).version)

    def _describe(self, package: Package, version: str) -> None:
        card = package.member(MODEL_CARD).decode("utf-8") if MODEL_CARD in package.names else package.description.title
        self._client.update_model_version(package.description.name, version, description=card)

    def _mirror(self, name: str, versions: dict[str, str], releases: Releases) -> dict[str, str]:
        """Points each state's alias at its newest version, and takes away that of a state which no version has."""
        known = [one for one in releases.all if one.sha256 in versions]
        wanted = {one.state: versions[one.sha256] for one in known}
        there = self._client.get_registered_model(name).aliases
        for state in get_args(State):
            if state in wanted and there.get(state) != wanted[state]:
                self._client.set_registered_model_alias(name, state, wanted[state])
            elif state not in wanted and state in there:
                self._client.delete_registered_model_alias(name, state)
        return {str(state): version for state, version in wanted.items()}


def _onnx_of(package: Package, folder: Path) -> Any:
    try:
        import onnx
    except ModuleNotFoundError:
        raise ConfigError(
            "this needs onnx, which is not installed; install it: pip install -c constraints.txt '.[export]'"
        ) from None
    for name in (ONNX, _ONNX_DATA):
        if name in package.names:
            (folder / name).write_bytes(package.member(name))
    return onnx.load(str(folder / ONNX))


def _signature(channels: int) -> Any:
    """Returns what the model takes and gives: float32 (N, 1, X, Y, Z), and (N, channels, X, Y, Z)."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    kind = np.dtype(np.float32)
    image = TensorSpec(kind, (-1, 1, -1, -1, -1), ONNX_INPUT)
    logits = TensorSpec(kind, (-1, channels, -1, -1, -1), ONNX_OUTPUT)
    return ModelSignature(inputs=Schema([image]), outputs=Schema([logits]))
