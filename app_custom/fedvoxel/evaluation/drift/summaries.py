"""What predictions in use have left, read from their summaries: numbers about images and findings, and no image.

An image that the model refused as unlike all that it was trained on leaves no summary; `fedvoxel predict` says of it.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedvoxel.config import read_json
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.inference.outcome import SUMMARY


@dataclass(frozen=True)
class Signal:
    """Is what one prediction says.

    Attributes:
        at: When it was written, seconds since the epoch.
        distance: How far its image is from the training cases, see `federation.calibration.resemblance`.
        unusual: Whether that is farther than of the 95 % nearest validation cases.
        volumes_ml: By the structure's code; those that were found.
        dice: Estimated, by the structure's code; those that have an estimate.
    """

    at: float
    distance: float
    unusual: bool
    volumes_ml: dict[int, float]
    dice: dict[int, float]


@dataclass(frozen=True)
class Signals:
    """Is what was found in a folder.

    Attributes:
        found: Predictions of the package, oldest first.
        others: Predictions of other packages.
        unassessed: Predictions of the package that say nothing of how like the training cases the image is.
        unreadable: Summaries that cannot be read.
    """

    found: tuple[Signal, ...]
    others: int = 0
    unassessed: int = 0
    unreadable: int = 0

    def newest(self, count: int) -> tuple[Signal, ...]:
        """Returns the newest ones, oldest first."""
        return self.found[-count:]


def read_signals(folder: Path, package_sha256: str) -> Signals:
    """Reads all summaries in a folder and the folders in it.

    Args:
        folder: Where `fedvoxel predict` has written.
        package_sha256: Identity of the package.

    Raises:
        ConfigError: There is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"expected the folder in which fedvoxel predict has written, and {folder.name} is none")
    found, counts = list[Signal](), dict.fromkeys(("others", "unassessed", "unreadable"), 0)
    for path in folder.rglob(SUMMARY):
        read = _read(path, package_sha256)
        if isinstance(read, Signal):
            found.append(read)
        else:
            counts[read] += 1
    return Signals(tuple(sorted(found, key=lambda one: one.at)), **counts)


def _read(path: Path, package_sha256: str) -> Signal | str:
    """Returns what a summary says, or which kind of no use it is."""
    try:
        values = read_json(path, "the summary")
        if values["model"]["package_sha256"] != package_sha256:
            return "others"
        if values["assessment"] is None:
            return "unassessed"
        return _signal(values, path.stat().st_mtime)
    except (ConfigError, OSError, KeyError, TypeError, ValueError):
        return "unreadable"


def _signal(values: Any, at: float) -> Signal:
    told, structures = values["assessment"], values["structures"]
    volumes = {int(one["code"]): float(one["volume_ml"]) for one in structures}
    estimates = {int(one["code"]): told["structures"][one["label"]]["estimated_dice"] for one in structures}
    return Signal(
        at=at,
        distance=_number(told["distance"]),
        unusual=told["verdict"] == "unusual",
        volumes_ml={code: _number(volume) for code, volume in volumes.items() if volume > 0},
        dice={code: _number(dice) for code, dice in estimates.items() if dice is not None},
    )


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError("no number that can be")
    return number
