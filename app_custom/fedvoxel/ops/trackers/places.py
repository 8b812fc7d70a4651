"""Which trackers there are, where they are, and what must be so before anything is sent there."""

import logging
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from fedvoxel.errors import ConfigError
from fedvoxel.ops.destination import check_destination
from fedvoxel.ops.trackers.clearml_tracker import ClearmlTracker
from fedvoxel.ops.trackers.csv_tracker import CsvTracker
from fedvoxel.ops.trackers.mlflow_tracker import MlflowTracker
from fedvoxel.ops.trackers.tensorboard_tracker import TensorBoardTracker
from fedvoxel.ops.trackers.tracker import Tracker
from fedvoxel.ops.trackers.wandb_tracker import WandbTracker

TrackerName = Literal["mlflow", "wandb", "clearml", "tensorboard", "csv"]

SWITCHES = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_DISABLE_CODE": "true",
    "WANDB_DISABLE_GIT": "true",
    "CLEARML_OFFLINE_MODE": "1",
    "CLEARML_LOG_LEVEL": "ERROR",
    "CLEARML_WORKER_NAME": "fedvoxel",
}
"""Variables that keep the clients from telling their makers, and anybody else, more than what is sent on purpose."""

PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}
"""How long MLflow's client waits (seconds) and how often it tries again; at its own 120 and 7 it waits for long."""

_EXTRAS = {"mlflow": "tracking", "wandb": "wandb", "clearml": "clearml"}
_SECRETS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD")


@dataclass(frozen=True)
class Place:
    """Is one tracker in one place.

    Attributes:
        to: Which tracker.
        folder: Where a tracker of files writes.
        url: MLflow's server.
        project: MLflow's experiment; the project at W&B and ClearML.
    """

    to: TrackerName
    folder: Path
    url: str | None
    project: str

    @property
    def words(self) -> str:
        """Tells this place from every other."""
        where = self.url if self.to == "mlflow" else str(self.folder.absolute())
        project = "" if self.to in ("tensorboard", "csv") else self.project
        return f"{self.to} {where} {project}"

    def tracker(self) -> Tracker:
        """Returns the tracker; nothing is asked of it yet.

        Raises:
            ConfigError: Its package is not installed, or its address cannot be used.
        """
        check_installed(self.to)
        if self.to == "mlflow":
            return MlflowTracker(checked_url(self.url), self.project)
        if self.to == "wandb":
            return WandbTracker(self.folder, self.project)
        if self.to == "clearml":
            return ClearmlTracker(self.folder, self.project)
        return TensorBoardTracker(self.folder) if self.to == "tensorboard" else CsvTracker(self.folder)


def set_switches() -> None:
    """Sets `SWITCHES`, and `PATIENCE` where nobody has; to be called by a command, before a client is imported.

    What the clients' HTTP library says of each try is silenced: the command says in one line what came of all.
    """
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    os.environ.update(SWITCHES)
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)


def check_installed(to: TrackerName) -> None:
    """Checks that a tracker's package is there.

    Raises:
        ConfigError: It is not; the message names the extra.
    """
    if to in _EXTRAS and find_spec(to) is None:
        extra = _EXTRAS[to]
        raise ConfigError(
            f"this needs {to}, which is not installed; install it with: pip install -c constraints.txt '.[{extra}]'"
        )


def checked_url(url: str | None) -> str:
    """Returns the address of an MLflow server, if a secret is safe with it.

    Raises:
        ConfigError: There is none, it is no HTTP address, holds a login itself, or is a remote one without TLS to which
            a login would be sent.
    """
    if not url:
        raise ConfigError("give MLflow's address with --url, or in MLFLOW_TRACKING_URI")
    login = "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    check_destination(url, "MLflow", _SECRETS, login)
    return url
