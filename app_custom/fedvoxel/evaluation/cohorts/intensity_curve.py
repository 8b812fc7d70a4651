"""Counts intensities, whole and inside each class, over one range that all curves of a case share."""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel

BINS = 72
_SMOOTHING = (0.25, 0.5, 0.25)


class IntensityCurves(FrozenModel):
    """Holds a case's histograms.

    Attributes:
        low: Lower end of the first bin; what lies below it is counted there.
        high: Upper end of the last bin; what lies above it is counted there.
        whole: Share of all voxels in each bin, smoothed over its neighbours.
        classes: Share of each class's voxels in each bin; zeros where the class marks nothing.
        median: Median of all voxels.
        p99: 99th percentile of all voxels.
    """

    low: float
    high: float
    whole: tuple[float, ...]
    classes: tuple[tuple[float, ...], ...]
    median: float
    p99: float


def intensity_curves(voxels: NDArray[np.float32], label: NDArray[np.uint8], classes: int) -> IntensityCurves:
    """Returns the curves of a scan (X, Y, Z) and its label of the same shape."""
    low, median, p99, high = (float(value) for value in np.percentile(voxels, (0.1, 50.0, 99.0, 99.9)))
    marked = voxels[label > 0]
    if marked.size:
        low, high = min(low, float(marked.min())), max(high, float(marked.max()))
    if not low < high:
        low, high = float(voxels.min()), float(voxels.max())
    edges = np.linspace(low, high, BINS + 1)
    parts = [voxels.ravel(), *(voxels[label == 1 + index] for index in range(classes))]
    whole, *inside = (_shares(part, edges) for part in parts)
    return IntensityCurves(low=low, high=high, whole=whole, classes=tuple(inside), median=median, p99=p99)


def _shares(values: NDArray[np.float32], edges: NDArray[np.float64]) -> tuple[float, ...]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    # Whole numbers fall unevenly into bins: without this the curve looks like a comb.
    smooth = np.convolve(np.convolve(counts, _SMOOTHING, "same"), _SMOOTHING, "same")
    return tuple(round(float(share), 5) for share in smooth / max(values.size, 1))
