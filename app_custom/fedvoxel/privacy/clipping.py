"""Bounds what one unit can contribute: the clip that every sensitivity rests on.

A patient's gradient gets a factor (`clip_factors`), a hospital's update becomes a `ClippedUpdate`. Both measure one l2
norm over all parameters together. A `ClippedUpdate` holds whole numbers on the grid of `federation.aggregation`
(multiples of 2**-32), rounded towards zero, which cannot lengthen it; sums of whole numbers are exact, so the
sensitivity of the sum is the clip bound and not the bound plus what rounding did. (Floating-point sums have a larger
sensitivity than the formula says: Casacuberta et al., "Widespread underestimation of sensitivity in differentially
private libraries", CCS 2022.)
"""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.updates.update import Arrays, Layout, check_layout, check_values

GRID = 2**32
"""Grid steps per unit of a parameter; the same grid as the fixed-point sum of `federation.aggregation`."""

_SLACK = 1e-7
"""How far below the bound to clip: more than a float64 norm over 10**8 parameters can be wrong by."""

MAX_SUMMANDS = 10_000
"""Most updates in one sum. With values below 1024 the int64 sum stays far from its limit."""

_MADE_HERE = object()


def clip_factors(norms: NDArray[np.floating], clip_norm: float) -> NDArray[np.float64]:
    """Returns min(1, clip_norm / norm) for each norm, a hair less where it clips; 0 where a norm is not finite.

    A unit whose norm is not finite contributes nothing: failing would tell of it. Its numbers have to be replaced by
    zeros, as 0 times NaN is NaN.

    Args:
        norms: l2 norms in float64, shape (units,).
        clip_norm: The bound, > 0, in the units of the norms.

    Source: Abadi et al., "Deep learning with differential privacy", CCS 2016, algorithm 1.
    """
    norms = np.asarray(norms, dtype=np.float64)
    limit = clip_norm * (1 - _SLACK)
    factors = limit / np.maximum(norms, limit)
    return np.where(np.isfinite(norms), factors, 0.0)


class ClippedUpdate:
    """Holds one hospital's update, no longer than the clip bound. Made by `clip_update` only.

    Attributes:
        grid: Whole numbers of grid steps by parameter name, int64.
        clip_norm: The bound that holds, l2 over all parameters, in the units of the parameters.
        within: Whether it was no longer than the bound before. One bit that is as private as the update.
    """

    __slots__ = ("clip_norm", "grid", "within")

    def __init__(self, made_by: object, grid: Mapping[str, NDArray[np.int64]], clip_norm: float, within: bool) -> None:
        """Refuses everyone but `clip_update`."""
        if made_by is not _MADE_HERE:
            raise TypeError("a ClippedUpdate is made by privacy.clipping.clip_update, which measures and clips it")
        self.grid, self.clip_norm, self.within = grid, clip_norm, within


def clip_update(arrays: Arrays, clip_norm: float) -> ClippedUpdate:
    """Shortens an update to at most `clip_norm` and puts it on the grid.

    Args:
        arrays: Local minus global by parameter name, float arrays of any shape.
        clip_norm: The bound, > 0, l2 over all arrays together.

    Raises:
        UpdateError: A value is not a float, not finite, or absurdly large.
    """
    check_values(arrays)
    norm = _joint_norm(arrays)
    factor = float(clip_factors(np.array([norm]), clip_norm)[0])
    grid = {name: _on_grid(array, factor) for name, array in arrays.items()}
    length = _joint_norm(grid) / GRID
    if length > clip_norm:
        raise UpdateError(f"a clipped update is longer than its bound: expected at most {clip_norm:g}, got {length:g}")
    return ClippedUpdate(_MADE_HERE, grid, clip_norm, norm <= clip_norm)


class ClippedSum:
    """Adds up clipped updates, exactly and each with weight one, as they arrive; can be taken out once.

    Attributes:
        clip_norm: The bound that each summand keeps.
        count: Number of summands.
        within: How many of them were no longer than the bound before the clip. As private as the sum.
    """

    def __init__(self, layout: Layout, clip_norm: float) -> None:
        """Starts an empty sum.

        Args:
            layout: Name and shape of every array of the global model.
            clip_norm: The bound that each summand must keep.
        """
        self.clip_norm = clip_norm
        self.count = self.within = 0
        self._layout = dict(layout)
        self._sums: dict[str, NDArray[np.int64]] | None = {
            name: np.zeros(shape, dtype=np.int64) for name, shape in layout.items()
        }

    def add(self, update: ClippedUpdate) -> None:
        """Adds one hospital's update; nothing is added unless everything is in order.

        Raises:
            UpdateError: It is not a `ClippedUpdate` of this bound and layout, or the sum is full or was taken out.
        """
        sums = self._open()
        if not isinstance(update, ClippedUpdate):
            raise UpdateError(f"expected a ClippedUpdate in a sum that gets noise, got {type(update).__name__}")
        if update.clip_norm != self.clip_norm:
            raise UpdateError(f"wrong clip bound: expected {self.clip_norm:g}, got {update.clip_norm:g}")
        check_layout(cast(Arrays, update.grid), self._layout)
        if self.count >= MAX_SUMMANDS:
            raise UpdateError(f"expected at most {MAX_SUMMANDS} updates in one sum")
        for name, array in update.grid.items():
            sums[name] += array
        self.count += 1
        self.within += update.within

    def add_total(self, total: Mapping[str, NDArray[np.int64]], count: int) -> None:
        """Adds the sum of `count` updates, each of which its own hospital has clipped to this bound.

        Raises:
            UpdateError: It has another layout, or the sum is full or was taken out.
        """
        sums = self._open()
        check_layout(cast(Arrays, total), self._layout)
        if self.count + count > MAX_SUMMANDS:
            raise UpdateError(f"expected at most {MAX_SUMMANDS} updates in one sum")
        for name, array in total.items():
            sums[name] += array
        self.count += count

    def take(self) -> dict[str, NDArray[np.int64]]:
        """Returns the sum in grid steps and closes it: one sum is released once, with one draw of noise.

        Raises:
            UpdateError: It was taken before.
        """
        sums, self._sums = self._open(), None
        return sums

    def _open(self) -> dict[str, NDArray[np.int64]]:
        if self._sums is None:
            raise UpdateError("this sum was released already: send the stored release again, or start a new sum")
        return self._sums


def _on_grid(array: NDArray[np.floating], factor: float) -> NDArray[np.int64]:
    """Rounds `factor` times `array` towards zero."""
    return np.trunc(array.astype(np.float64) * (factor * GRID)).astype(np.int64)


def _joint_norm(arrays: Mapping[str, NDArray[np.floating]] | Mapping[str, NDArray[np.int64]]) -> float:
    return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays.values()))
