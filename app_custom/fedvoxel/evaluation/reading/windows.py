"""Offers the windows that a scan is read with: Hounsfield units have known ones, other scans have their own.

Source of the CT windows: Hofer 2010, CT Teaching Manual, chapter "Windowing".
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel

_CT = (
    ("Soft tissue", -160.0, 240.0),
    ("Lung", -1350.0, 150.0),
    ("Bone", -450.0, 1050.0),
    ("Brain", 0.0, 80.0),
    ("Liver", -20.0, 140.0),
)
_OWN = (("Standard", 0.5, 99.5), ("High contrast", 5.0, 95.0), ("Full range", 0.0, 100.0))
"""Name and percentiles."""

_AIR_HU = -500.0
_MOST_SAMPLES = 2**20


class WindowPreset(FrozenModel):
    """Says which intensities are black (`low`) and white (`high`).

    Attributes:
        name: What a reader calls it.
        low: What is black, and all below.
        high: What is white, and all above.
    """

    name: str = Field(min_length=1, max_length=40)
    low: float
    high: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError("expected low below high")
        return self


def presets_for(voxels: NDArray[np.float32], modality: str | None) -> tuple[WindowPreset, ...]:
    """Returns the presets of a scan, that to begin with first.

    Args:
        voxels: (X, Y, Z).
        modality: DICOM Modality; None where it is not known: then air far below zero means CT.
    """
    sample = _sample(voxels)
    own = tuple(_percentiles(sample, *preset) for preset in _OWN)
    if modality == "CT" or (modality is None and float(np.percentile(sample, 2.0)) < _AIR_HU):
        return (*(WindowPreset(name=name, low=low, high=high) for name, low, high in _CT), own[-1])
    return own


def _percentiles(sample: NDArray[np.float32], name: str, low: float, high: float) -> WindowPreset:
    black, white = (float(value) for value in np.percentile(sample, (low, high)))
    return WindowPreset(name=name, low=black, high=white if white > black else black + 1.0)


def _sample(voxels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns evenly spaced voxels: percentiles of 40 million take a second, of a million a moment."""
    flat = voxels.reshape(-1) if voxels.flags.c_contiguous else voxels.ravel(order="K")
    return flat[:: max(1, flat.size // _MOST_SAMPLES)]
