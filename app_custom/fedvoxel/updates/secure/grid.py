"""Values as whole numbers of steps that all sites share, since only sums on one grid are sums.

What rounding and the bound leave out is the site's to keep, and goes into its next update (error feedback).
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.updates.update import Arrays, Layout

_LEAST_STEP, _LARGEST_STEP = 1e-20, 1e6

Steps = Mapping[str, float]
"""Width of a step by array name, > 0, in the units of what is added up."""


def to_steps(
    arrays: Arrays, steps: Steps, most: int, random: np.random.Generator
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.float32]]]:
    """Returns values in steps, rounded at random without bias, and what is left of them, in their own units.

    Args:
        arrays: Float arrays by name.
        steps: Width of a step of each.
        most: Largest magnitude in steps; what lies beyond is left.
        random: Rounds; it protects nothing.

    Raises:
        UpdateError: A value is not finite, or a step is missing or no length.
    """
    whole, left = {}, {}
    for name, array in arrays.items():
        step = float(steps.get(name, 0.0))
        if not _LEAST_STEP <= step <= _LARGEST_STEP or not np.isfinite(array).all():
            raise UpdateError(f"expected finite values and a step for {name}, got something else")
        scaled = array.astype(np.float64) / step
        # floor(x + u) with u uniform in [0, 1) is x on average.
        rounded = np.clip(np.floor(scaled + random.random(array.shape, np.float32)), -most, most)
        whole[name] = rounded.astype(np.int64)
        left[name] = ((scaled - rounded) * step).astype(np.float32)
    return whole, left


def flat(whole: Mapping[str, NDArray[np.int64]]) -> NDArray[np.int64]:
    """Returns all arrays one after another, in the order of their names."""
    return np.concatenate([whole[name].reshape(-1) for name in sorted(whole)])


def unflat(values: NDArray[np.int64], layout: Layout) -> dict[str, NDArray[np.int64]]:
    """Returns the arrays that `flat` has put together."""
    ends = np.cumsum([math.prod(layout[name]) for name in sorted(layout)])
    parts = np.split(values, ends[:-1])
    return {name: part.reshape(layout[name]) for name, part in zip(sorted(layout), parts, strict=True)}


def size_of(layout: Layout) -> int:
    """Returns the number of values of a layout."""
    return sum(map(math.prod, layout.values()))
