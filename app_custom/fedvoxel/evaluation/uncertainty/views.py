"""Changed copies of an image, and the way back for what a model found on each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.federation.calibration.plan import ViewPlan
from fedvoxel.training.config import TrainingConfig

Voxels = NDArray[np.float32]

_DIRECTIONS = ((1, 1, 1), (-1, -1, -1), (1, -1, 1), (-1, 1, -1))
_LARGEST_SHIFT = 2


@dataclass(frozen=True)
class View:
    """Is one change of an image.

    Attributes:
        flip_axis: Axis of (X, Y, Z) that is flipped, or none.
        shift: By how many voxels the content moves along each axis; what comes in repeats the edge.
        scale: What intensities are multiplied by.
    """

    flip_axis: int | None = None
    shift: tuple[int, int, int] = (0, 0, 0)
    scale: float = 1.0

    def changed(self, image: Voxels) -> Voxels:
        """Returns the changed image, float32 (1, X, Y, Z)."""
        return np.ascontiguousarray(self._moved(image, self.shift) * np.float32(self.scale))

    def undone(self, probabilities: Voxels) -> Voxels:
        """Returns what was found on the changed image, (classes, X, Y, Z), on the grid of the unchanged one."""
        x, y, z = self.shift
        return self._moved(probabilities, (-x, -y, -z))

    def _moved(self, voxels: Voxels, shift: tuple[int, int, int]) -> Voxels:
        if self.flip_axis is not None:
            voxels = np.flip(voxels, axis=1 + self.flip_axis)
        return shifted(voxels, shift)


def shifted(voxels: Voxels, shift: Sequence[int]) -> Voxels:
    """Returns voxels (C, X, Y, Z) with their content moved; what comes in repeats the edge."""
    for axis, step in enumerate(shift, start=1):
        if step:
            size = voxels.shape[axis]
            voxels = np.take(voxels, np.clip(np.arange(size) - step, 0, size - 1), axis=axis)
    return voxels


def views_of(plan: ViewPlan) -> Iterator[View]:
    """Yields the views of a plan, each a single change; the unchanged image is not among them."""
    for axis in plan.flip_axes:
        yield View(flip_axis=axis)
    if plan.shift_voxels:
        for x, y, z in _DIRECTIONS:
            yield View(shift=(x * plan.shift_voxels, y * plan.shift_voxels, z * plan.shift_voxels))
    if plan.intensity_scale:
        yield View(scale=1 + plan.intensity_scale)
        yield View(scale=1 - plan.intensity_scale)


def plan_views(training: TrainingConfig) -> ViewPlan:
    """Returns the views that make sense for a model: flips only where training flipped, small shifts and changes."""
    augmentation = training.augmentation
    return ViewPlan(
        flip_axes=tuple(dict.fromkeys(augmentation.flip_axes)),
        shift_voxels=min(max(augmentation.shift_voxels, 1), _LARGEST_SHIFT),
        intensity_scale=augmentation.intensity_scale or 0.05,
    )
