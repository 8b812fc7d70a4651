"""The case-weighted mean of updates, exact in fixed point.

Floating-point sums depend on the order of their terms, and sites answer in any order. Whole numbers do not: every
value is rounded once to a multiple of 2**-32 and summed as int64, so the mean has the same bits whatever the order
of arrival, and the memory needed does not grow with the number of sites. The rounding error is at most 2**-33 per
value, well below float32's own at a magnitude of 0.01.
"""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.updates.update import MAX_ABSOLUTE_VALUE, Arrays, Layout, check_layout, check_values

FRACTION_BITS = 32
_SCALE = float(2**FRACTION_BITS)
_SLICE = 2**16
MAX_TOTAL_WEIGHT = int(2 ** (63 - FRACTION_BITS) / MAX_ABSOLUTE_VALUE) - 1
"""Largest sum of weights for which no int64 sum can overflow (about two million cases).

`site_checks` keeps a run's sites within it, so that it does not matter which update comes last.
"""


class FixedPointMean:
    """Accumulates weighted updates as they arrive."""

    def __init__(self, layout: Layout) -> None:
        """Starts an empty sum.

        Args:
            layout: Name and shape of every array of the global model.
        """
        self._layout = {name: tuple(shape) for name, shape in layout.items()}
        self._sums = {name: np.zeros(shape, dtype=np.int64) for name, shape in self._layout.items()}
        self.total_weight = 0
        self.count = 0

    def add(self, arrays: Arrays, weight: int) -> None:
        """Adds `weight` times `arrays`; nothing is added unless everything is in order.

        Raises:
            UpdateError: Wrong names, shapes, values, or a weight that could overflow the sum.
        """
        check_layout(arrays, self._layout)
        check_values(arrays)
        if weight < 1 or self.total_weight + weight > MAX_TOTAL_WEIGHT:
            raise UpdateError(f"absurd weight: {weight} on top of {self.total_weight} (at most {MAX_TOTAL_WEIGHT})")
        for name, array in arrays.items():
            _add_to(self._sums[name].reshape(-1), array.reshape(-1), weight)
        self.total_weight += weight
        self.count += 1

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """Returns the weighted mean in float32.

        Raises:
            UpdateError: Nothing has been added.
        """
        if not self.total_weight:
            raise UpdateError("no update to average: expected at least one accepted site")
        divisor = _SCALE * self.total_weight
        return {name: (total / divisor).astype(np.float32) for name, total in self._sums.items()}


def _add_to(total: NDArray[np.int64], values: NDArray[np.float32], weight: int) -> None:
    """Adds to a flat sum in place, slice by slice: the float64 copies of a whole layer would double the memory."""
    for start in range(0, total.size, _SLICE):
        part = slice(start, start + _SLICE)
        total[part] += np.rint(values[part].astype(np.float64) * _SCALE).astype(np.int64) * weight
