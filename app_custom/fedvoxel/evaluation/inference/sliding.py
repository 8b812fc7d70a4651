"""Finds the probability of every class at every voxel of a prepared image, window by window, in bounded memory."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.inference.memory import MemoryBound, resident_bytes
from fedvoxel.evaluation.inference.refusal import prediction_error
from fedvoxel.evaluation.inference.session import Batch, Runtime
from fedvoxel.evaluation.inference.windows import WindowPlan, plan_windows, weights_of
from fedvoxel.training.config import InferenceConfig

Progress = Callable[[int, int], None]
"""Is told how many windows are done, and of how many."""

Corner = tuple[int, ...]

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class SlidingWindow:
    """Moves one network over images.

    Attributes:
        runtime: What computes the network.
        classes: How many outputs it must have, the background's first.
        inference: Window, overlap, and how many windows are computed together at most.
        bound: The memory that this process may reach.
    """

    runtime: Runtime
    classes: int
    inference: InferenceConfig
    bound: MemoryBound

    def probabilities(self, image: NDArray[np.float32], progress: Progress | None = None) -> NDArray[np.float32]:
        """Returns softmax probabilities (classes, X, Y, Z), float32, of a prepared image (1, X, Y, Z).

        Logits of overlapping windows are averaged with Gaussian weights, and the softmax is taken of the average, as
        it was when the model was scored. What one window takes is measured on the first, which decides how many are
        computed together.

        Raises:
            PredictionError: too_large_for_memory, unusable_model or not_finite.
        """
        shape = image.shape[1:]
        plan = plan_windows(shape, self.inference.roi_size, self.inference.overlap)
        padded = _padded(image[0], plan)
        before = resident_bytes()
        corners = list(plan.corners())
        first = self._logits(padded, plan, corners[:1])
        one_window = resident_bytes() - before
        needed = _FLOAT_BYTES * (self.classes + 1) * math.prod(plan.shape)
        self.bound.require(needed, f"{self.classes} classes at {math.prod(plan.shape)} voxels")
        total = _Total(plan, self.classes)
        total.add(corners[0], first[0])
        del first
        for done, group in _groups(corners, 1, self._together(one_window, needed)):
            for corner, logits in zip(group, self._logits(padded, plan, group), strict=True):
                total.add(corner, logits)
            if progress is not None:
                progress(done, len(corners))
        return total.softmax()[(slice(None), *plan.inside(shape))]

    def _logits(self, padded: NDArray[np.float32], plan: WindowPlan, corners: list[Corner]) -> Batch:
        windows = np.stack([padded[plan.at(corner)] for corner in corners])[:, np.newaxis]
        found = self.runtime.logits(windows)
        expected = (len(corners), self.classes, *plan.size)
        if found.shape != expected:
            raise prediction_error("unusable_model", f"expected an output of {expected}, got {found.shape}")
        return found

    def _together(self, one_window: int, needed: int) -> int:
        """Returns how many windows are computed at once, so that they and the result stay below the bound."""
        most = min(self.inference.batch_size, self.runtime.largest_batch or self.inference.batch_size)
        spare = self.bound.left() - needed
        # What the first one took is still held; each further one takes as much again.
        return max(1, min(most, 1 + spare // max(one_window, 1)))


class _Total:
    """Adds up the weighted logits of windows, (classes, X, Y, Z)."""

    def __init__(self, plan: WindowPlan, classes: int) -> None:
        self._plan, self._weight = plan, weights_of(plan.size)
        self._sum = np.zeros((classes, *plan.shape), np.float32)
        self._weights = np.zeros(plan.shape, np.float32)

    def add(self, corner: Corner, logits: Batch) -> None:
        """Adds one window's logits (classes, X, Y, Z)."""
        place = self._plan.at(corner)
        for total, found in zip(self._sum, logits, strict=True):
            total[place] += found * self._weight
        self._weights[place] += self._weight

    def softmax(self) -> NDArray[np.float32]:
        """Returns the probabilities, in the memory of the sums.

        Raises:
            PredictionError: not_finite.
        """
        for x in range(self._sum.shape[1]):
            plane = self._sum[:, x]
            plane /= self._weights[x]
            plane -= plane.max(axis=0)
            np.exp(plane, out=plane)
            plane /= plane.sum(axis=0)
            if not np.isfinite(plane.sum()):
                raise prediction_error("not_finite", "the model's output is not finite")
        return self._sum


def _padded(image: NDArray[np.float32], plan: WindowPlan) -> NDArray[np.float32]:
    if image.shape == plan.shape:
        return image
    padded = np.zeros(plan.shape, np.float32)
    padded[plan.inside(image.shape)] = image
    return padded


def _groups(corners: list[Corner], start: int, size: int) -> Iterator[tuple[int, list[Corner]]]:
    """Yields the windows from `start` on, `size` at a time, each time with how many are then done."""
    for first in range(start, len(corners), size):
        yield min(first + size, len(corners)), corners[first : first + size]
