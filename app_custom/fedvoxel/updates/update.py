"""The update of one site in one round, and what makes one acceptable.

An update is local minus global, in float32, under the global model's own names. The site computes the difference
itself. Nothing here trusts the sender: the server checks every update before it touches the sum.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError

Arrays = Mapping[str, NDArray[np.float32]]
Layout = Mapping[str, tuple[int, ...]]

MAX_ABSOLUTE_VALUE = 1024.0
"""Largest magnitude an update may hold; beyond it the fixed-point sum of `federation.aggregation` could overflow."""

MAX_CASES = 1_000_000
"""Largest number of training cases that one site can claim as its weight."""


PUBLIC_WEIGHT = 1
"""What a site under a privacy mechanism reports as its number of cases: the true number is a patient's secret."""


@dataclass(frozen=True)
class Update:
    """Holds one site's contribution to one round.

    Attributes:
        arrays: Local minus global by parameter name, float32, each of the global model's shape.
        case_count: Number of training cases behind it, 0 where the site only evaluated.
        metrics: What the site reports of the round, JSON values only.
    """

    arrays: Arrays
    case_count: int
    metrics: Mapping[str, Any] = field(default_factory=dict)


def layout_of(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every array by name."""
    return {name: tuple(array.shape) for name, array in arrays.items()}


def check_layout(arrays: Arrays, layout: Layout) -> None:
    """Checks that names and shapes are exactly those of `layout`.

    Raises:
        UpdateError: A name is missing or unknown, something is no array, or a shape differs.
    """
    missing, unknown = sorted(set(layout) - set(arrays)), sorted(set(arrays) - set(layout))
    if missing or unknown:
        raise UpdateError(f"wrong keys: {_some(missing)} missing, {_some(unknown)} unknown to the global model")
    for name, shape in layout.items():
        if not isinstance(arrays[name], np.ndarray):
            raise UpdateError(f"wrong type: {name} should be an array, got {type(arrays[name]).__name__}")
        if tuple(arrays[name].shape) != tuple(shape):
            raise UpdateError(f"wrong shape: {name} should be {tuple(shape)}, got {tuple(arrays[name].shape)}")


def check_values(arrays: Arrays) -> None:
    """Checks that every array is floating point, finite and of plausible size.

    Raises:
        UpdateError: Values are not floats, not finite, or beyond `MAX_ABSOLUTE_VALUE`.
    """
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            raise UpdateError(f"wrong type: {name} should be a float array, got {getattr(array, 'dtype', type(array))}")
        if not np.isfinite(array).all():
            raise UpdateError(f"non-finite values in {name}")
        if array.size and float(np.abs(array).max()) > MAX_ABSOLUTE_VALUE:
            raise UpdateError(f"absurd values: {name} exceeds {MAX_ABSOLUTE_VALUE:g} in magnitude")


def check_case_count(case_count: Any, maximum: int = MAX_CASES) -> int:
    """Returns the weight that a site claims, if it is a whole number in [1, maximum].

    Raises:
        UpdateError: It is anything else.
    """
    if isinstance(case_count, bool) or not isinstance(case_count, int) or not 1 <= case_count <= maximum:
        raise UpdateError(f"absurd weight: expected a number of cases between 1 and {maximum}, got {case_count!r}")
    return case_count


def _some(names: list[str]) -> str:
    if not names:
        return "none"
    return ", ".join(name[:60] for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
