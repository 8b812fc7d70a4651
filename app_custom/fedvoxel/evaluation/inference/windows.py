"""Which windows a volume is cut into, and how much each of a window's voxels counts where windows overlap.

Both are those of MONAI's `sliding_window_inference` in its mode "gaussian", which scored the model while it was
trained: the same windows and weights are the only ones for which its scores speak.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

_SIGMA_SHARE = 0.125
_LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class WindowPlan:
    """Is how one volume is covered.

    Attributes:
        size: Voxels of a window.
        shape: Voxels of the volume once it is padded to at least one window.
        before: Voxels of padding before the volume, along each axis.
        starts: First voxels of the windows along each axis, in the padded volume.
    """

    size: tuple[int, ...]
    shape: tuple[int, ...]
    before: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]

    @property
    def count(self) -> int:
        """Returns the number of windows."""
        return int(np.prod([len(starts) for starts in self.starts]))

    def corners(self) -> Iterator[tuple[int, ...]]:
        """Yields the first voxel of each window."""
        return product(*self.starts)

    def at(self, corner: Sequence[int]) -> tuple[slice, ...]:
        """Returns the voxels of the window that starts at `corner`."""
        return tuple(slice(start, start + size) for start, size in zip(corner, self.size, strict=True))

    def inside(self, shape: Sequence[int]) -> tuple[slice, ...]:
        """Returns where the volume of `shape` lies in the padded one."""
        return tuple(slice(before, before + size) for before, size in zip(self.before, shape, strict=True))


def plan_windows(shape: Sequence[int], size: Sequence[int], overlap: float) -> WindowPlan:
    """Covers a volume of `shape` with windows of `size` that overlap by the share `overlap`.

    Source: MONAI 1.6, `monai.inferers.utils.sliding_window_inference` and `monai.data.utils.dense_patch_slices`.
    """
    padded = tuple(max(length, window) for length, window in zip(shape, size, strict=True))
    before = tuple((whole - length) // 2 for whole, length in zip(padded, shape, strict=True))
    starts = tuple(_starts(whole, window, overlap) for whole, window in zip(padded, size, strict=True))
    return WindowPlan(tuple(size), padded, before, starts)


def weights_of(size: Sequence[int]) -> NDArray[np.float32]:
    """Returns how much each voxel of a window counts, float32 of shape `size`, at most 1.

    Source: MONAI 1.6, `monai.data.utils.compute_importance_map`: a Gaussian of an eighth of the window's size, nowhere
    below a thousandth.
    """
    weights = np.ones((), np.float32)
    for length in size:
        at = np.arange(length, dtype=np.float32) - np.float32((length - 1) / 2)
        along = np.exp(at**2 / np.float32(-2 * (length * _SIGMA_SHARE) ** 2))
        weights = weights[..., np.newaxis] * along
    return np.maximum(weights, max(float(weights.min()), _LEAST_WEIGHT)).astype(np.float32)


def _starts(length: int, window: int, overlap: float) -> tuple[int, ...]:
    """Returns the first voxels along one axis; the last window ends with the axis."""
    step = max(int(window * (1 - overlap)), 1)
    starts = [0]
    while starts[-1] + window < length:
        starts.append(min(starts[-1] + step, length - window))
    return tuple(starts)
