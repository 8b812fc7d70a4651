"""The few numbers that a cohort's statistics take from each volume; they stay inside the site."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.resampling import reorient
from fedvoxel.volumes.split import Split
from fedvoxel.volumes.volume import LabelledVolume, spacing_of

PERCENTILES = (0.5, 5.0, 50.0, 95.0, 99.5)
_MAGNITUDES = np.logspace(-3, 7, 41)  # four bins per factor of ten
# Shared by all sites, for signed intensities of unknown unit: from -1e7 to 1e7, one bin around zero.
INTENSITY_EDGES: NDArray[np.float64] = np.concatenate([-_MAGNITUDES[::-1], _MAGNITUDES])


@dataclass(frozen=True, eq=False)
class CaseFacts:
    """Describes one case after reorientation to RAS.

    Attributes:
        split: The split of its patient.
        shape: Voxels along right, anterior, superior.
        spacing_mm: Voxel size along those axes.
        percentiles: Intensity at `PERCENTILES`.
        histogram: float64, share of the voxels in each bin of `INTENSITY_EDGES`; what lies outside is in the ends.
        voxels_per_class: Number of marked voxels of each class.
    """

    split: Split
    shape: tuple[int, ...]
    spacing_mm: tuple[float, float, float]
    percentiles: tuple[float, ...]
    histogram: NDArray[np.float64]
    voxels_per_class: dict[str, int]


def facts_of(volume: LabelledVolume, classes: tuple[str, ...], split: Split) -> CaseFacts:
    """Returns the facts of one labelled volume."""
    voxels, affine = reorient(volume.image.voxels, volume.image.affine, "RAS")
    inside = np.clip(voxels.astype(np.float64), INTENSITY_EDGES[0], INTENSITY_EDGES[-1])
    counts, _ = np.histogram(inside, INTENSITY_EDGES)
    marked = np.bincount(volume.label.ravel(), minlength=len(classes) + 1)
    return CaseFacts(
        split=split,
        shape=voxels.shape,
        spacing_mm=spacing_of(affine),
        percentiles=tuple(float(value) for value in np.percentile(voxels, PERCENTILES)),
        histogram=counts / voxels.size,
        voxels_per_class={name: int(marked[1 + index]) for index, name in enumerate(classes)},
    )
