"""A study that is good to look at and was never a person: two bright bodies in noisy tissue, one behind the other.

`made_up_slices` makes it, `TRUTH` says which voxels are which body, and `made_up_package` writes a package whose model
finds exactly these, by their brightness. Pictures of it may be committed.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from scipy.ndimage import gaussian_filter

from fedvoxel.export.package import Package
from tests.export.package_sample import bright_onnx, sample_package
from tests.volumes.dicom_cases import image_slices

SHAPE = (28, 75, 65)
"""Slices, rows, columns; rows times columns is no multiple of 8."""
SPACING_MM = (1.5, 0.9, 0.9)
NAMED = {"PatientName": "Madeup^Phantom", "PatientID": "4711", "AccessionNumber": "A123"}
TISSUE, BODIES, BRIGHTEST = 200, (600, 1000), 1100
STEP = BODIES[0] / BRIGHTEST * 0.83
"""Between tissue and the first body, and between the two, on a scale from 0 to 1."""


def _truth() -> NDArray[np.uint8]:
    """Codes (slice, row, column): a head in front, a longer and thinner body behind that bends."""
    slices, rows, columns = (np.arange(size, dtype=float) for size in SHAPE)
    k, i, j = np.meshgrid(slices, rows, columns, indexing="ij")
    bend = 34 + 0.055 * (k - 4) ** 2 / 2
    behind = ((i - bend) / 8) ** 2 + ((j - 34 + 0.5 * (k - 14)) / 10) ** 2 + ((k - 17) / 8) ** 2 <= 1
    front = ((i - 35) / 11) ** 2 + ((j - 38) / 13) ** 2 + ((k - 8) / 5) ** 2 <= 1
    return np.where(front, 1, np.where(behind, 2, 0)).astype(np.uint8)


TRUTH = _truth()


def _pixels() -> NDArray[np.uint16]:
    random = np.random.default_rng(7)
    cloud = gaussian_filter(random.normal(size=SHAPE), 2.5)
    values = TISSUE * (1 + 0.1 * np.clip(cloud / cloud.std(), -2, 2)) + random.uniform(-8, 8, SHAPE)
    rows, columns = np.ogrid[: SHAPE[1], : SHAPE[2]]
    outside = ((rows - 37) / 36) ** 2 + ((columns - 32) / 31) ** 2 > 1
    values[:, outside] = random.uniform(0, 30, (SHAPE[0], int(outside.sum())))
    for code, level in enumerate(BODIES, start=1):
        values = np.where(code == TRUTH, level + random.uniform(-60, 60, SHAPE), values)
    values[0, 0, 0], values[tuple(np.argwhere(TRUTH == 2)[0])] = 0, BRIGHTEST  # so that the scale is known
    return values.astype(np.uint16)


def made_up_slices(**header: Any) -> list[Dataset]:
    """MR slices, coronal, front first, with more elements of the header."""
    slices = image_slices("coronal", SHAPE, SPACING_MM)
    said = {"StudyDescription": "Made-up phantom", "SeriesDescription": "T1 crop", "BodyPartExamined": "HEAD"}
    for one, plane in zip(slices, _pixels(), strict=True):
        one.PixelData = plane.tobytes()
        one.SeriesNumber, one.StudyDate, one.StudyID = 3, "20260302", "1"
        one.WindowCenter, one.WindowWidth = 450, 900
        for keyword, value in (said | NAMED | header).items():
            setattr(one, keyword, value)
    return slices


def made_up_package(folder: Path) -> Package:
    """Writes the package, `hippocampus-1.0.0.fvpkg`."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"spacing_mm": {"low": 0.8, "high": 1.6}, "extent_mm": {"low": 20, "high": 70}}
    plan = {"intensity": {"method": "range", "lower_percentile": 0, "upper_percentile": 100}}
    known = {"modalities": ["MR"], "body_parts": ["HEAD", "BRAIN"], **sizes}
    return sample_package(folder, members={"model.onnx": bright_onnx(3, STEP)}, input=known, plan=plan)
