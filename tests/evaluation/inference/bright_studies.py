"""Studies of which every voxel is known: the sample package's model tells structures by brightness alone."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from fedvoxel.dicom.series import find_series
from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.model import Model, open_model
from fedvoxel.evaluation.inference.run import Job
from fedvoxel.evaluation.inference.study import Study, studies_in
from fedvoxel.export.package import open_package
from tests.export.package_sample import sample_package, sample_trust
from tests.export.throwaway_root import NOW
from tests.volumes.dicom_cases import DIRECTIONS, SHAPE, SPACING_MM, image_slices
from tests.volumes.site_pipeline import store

__all__ = ["DIRECTIONS", "SHAPE", "SPACING_MM"]

LEVELS, SHARES = (100, 600, 1100), (0.7, 0.2, 0.1)
"""Values of background and two structures; scaled they are about -0.6, 0.9 and 2.4."""
RANGES = {"spacing_mm": {"low": 0.5, "high": 5.0}, "extent_mm": {"low": 5, "high": 500}}


def levels(shape: Sequence[int] = SHAPE, seed: int = 0) -> NDArray[np.uint8]:
    """Which level each voxel has (slice, row, column): noise, which has no symmetry."""
    return np.random.default_rng(seed).choice(3, tuple(shape), p=SHARES).astype(np.uint8)


def bright_slices(direction: str, codes: NDArray[np.uint8], **header: Any) -> list[Dataset]:
    """MR slices whose values are those of `codes` (slice, row, column), with more elements of the header."""
    slices = image_slices(direction, codes.shape)
    for one, plane in zip(slices, codes, strict=True):
        one.PixelData = np.array(LEVELS, np.uint16)[plane].tobytes()
        for keyword, value in header.items():
            setattr(one, keyword, value)
    return slices


def bright_study(folder: Path, direction: str = "axial", codes: NDArray[np.uint8] | None = None, **header: Any) -> Path:
    """Writes a study of one series."""
    return store(folder, *bright_slices(direction, levels() if codes is None else codes, **header))


def only_study(folder: Path) -> Study:
    """The only study of a folder."""
    (study,) = studies_in(find_series(folder))
    return study


def bright_model(folder: Path, limit_mb: int = 4096, now: datetime = NOW, **changes: Any) -> Model:
    """The sample package's model, for head and brain of any size."""
    wanted = {"modalities": ["MR"], "body_parts": ["HEAD", "BRAIN"], **RANGES} | changes.pop("input", {})
    package = sample_package(folder, input=wanted, **changes)
    return open_model(open_package(package.path, sample_trust(), now), MemoryBound(limit_mb), threads=1)


def bright_job(folder: Path, **changes: Any) -> Job:
    """A job with that model, whose results go to `folder`/out."""
    folder.mkdir(parents=True, exist_ok=True)
    series = changes.pop("series", None)
    return Job(bright_model(folder, **changes), folder / "out", series)
