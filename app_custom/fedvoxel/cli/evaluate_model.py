"""Opens the packages that `fedvoxel evaluate` judges."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fedvoxel.evaluation.inference.model import Model
    from fedvoxel.export.trust import Trust


def opened_model(package: Path, trust: "Trust", memory_mb: int, threads: int | None) -> "Model":
    """Opens a package and makes its model ready.

    Raises:
        PackageError: It is not to be trusted.
        PredictionError: Its model cannot be used.
    """
    from fedvoxel.evaluation.inference.memory import MemoryBound
    from fedvoxel.evaluation.inference.model import open_model
    from fedvoxel.export.package import open_package

    return open_model(open_package(package, trust), MemoryBound(memory_mb), threads)
