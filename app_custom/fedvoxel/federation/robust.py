"""Rules that make one update of a round's updates in sight of each of them, so that a few bad sites cannot steer it.

All but the norm bound weigh each site the same, since a bad site would lie about its cases too, and hold all updates of
the round in memory until it closes. They are taken in an order that depends on the updates alone, so that the result
has the same bits whatever the order of arrival.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.federation.robust_config import CoordinateMedian, GeometricMedian, MultiKrum, RobustRule, TrimmedMean
from fedvoxel.federation.round_sum import CaseWeightedSum, RoundSum
from fedvoxel.updates.update import Arrays, Layout, Update, check_case_count, check_layout, check_values

_SLICE = 2**16
_SMOOTHING = 1e-6
"""nu of Pillutla et al.: distances below it count as this much."""

_Values = NDArray[np.float64]


class BoundedSum(CaseWeightedSum):
    """Weighs each update by its cases, after cutting its L2 norm to a bound."""

    def __init__(self, layout: Layout, most_cases: int, most_norm: float) -> None:
        """Starts empty."""
        super().__init__(layout, most_cases)
        self._most_norm = most_norm

    def add(self, update: Update) -> None:
        """See `RoundSum`."""
        check_layout(update.arrays, self._layout)
        check_values(update.arrays)
        norm = float(np.sqrt(sum(_squares(array) for array in update.arrays.values())))
        factor = np.float32(min(1.0, self._most_norm / norm) if norm else 1.0)
        super().add(Update({name: array * factor for name, array in update.arrays.items()}, update.case_count))


class RobustSum(RoundSum):
    """Keeps a round's updates and combines them by a rule when it is asked."""

    def __init__(self, layout: Layout, most_cases: int, rule: RobustRule) -> None:
        """Starts empty; `most_cases` is the largest number of cases that a site may claim, though it weighs nothing."""
        self._layout, self._most_cases, self._rule = layout, most_cases, rule
        self._updates: list[Arrays] = []

    @property
    def count(self) -> int:
        """See `RoundSum`."""
        return len(self._updates)

    def add(self, update: Update) -> None:
        """See `RoundSum`."""
        check_case_count(update.case_count, self._most_cases)
        check_layout(update.arrays, self._layout)
        check_values(update.arrays)
        self._updates.append({name: np.asarray(update.arrays[name], np.float32) for name in self._layout})

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """See `RoundSum`.

        Raises:
            UpdateError: Fewer updates than the rule needs.
        """
        least = self._rule.least_sites
        if self.count < least:
            raise UpdateError(f"{self._rule.name} needs the updates of {least} sites, and has {self.count}")
        return combined(sorted(self._updates, key=_digest), self._rule)


def combined(updates: Sequence[Arrays], rule: RobustRule) -> dict[str, NDArray[np.float32]]:
    """Returns what a rule makes of updates, which all have the same names and shapes; float32."""
    if isinstance(rule, CoordinateMedian):
        return _by_coordinate(updates, lambda values: np.median(values, axis=0))
    if isinstance(rule, TrimmedMean):
        kept = slice(rule.trim, len(updates) - rule.trim)
        return _by_coordinate(updates, lambda values: np.sort(values, axis=0)[kept].mean(axis=0))
    weights = _krum_weights(updates, rule) if isinstance(rule, MultiKrum) else _median_weights(updates, rule)
    return _by_coordinate(updates, lambda values: weights @ values)


def _krum_weights(updates: Sequence[Arrays], rule: MultiKrum) -> _Values:
    """Returns 1 / (n - f) for each of the n - f updates with the best score, 0 for the others."""
    sites = len(updates)
    distances = np.sort(_squared_distances(_products(updates)), axis=1)
    scores = distances[:, 1 : sites - rule.bad_sites - 1].sum(axis=1)  # column 0 is the distance to itself
    chosen = np.argsort(scores, kind="stable")[: sites - rule.bad_sites]
    weights = np.zeros(sites)
    weights[chosen] = 1 / chosen.size
    return weights


def _median_weights(updates: Sequence[Arrays], rule: GeometricMedian) -> _Values:
    """Returns the weights that make the geometric median: a point among them has distances by inner products alone."""
    products = _products(updates)
    weights = np.full(len(updates), 1 / len(updates))
    for _ in range(rule.iterations):
        squared = weights @ products @ weights - 2 * products @ weights + np.diag(products)
        closeness = 1 / np.maximum(np.sqrt(np.maximum(squared, 0)), _SMOOTHING)
        weights = closeness / closeness.sum()
    return weights


def _products(updates: Sequence[Arrays]) -> _Values:
    """Returns the inner product of each update with each, (sites, sites)."""
    products = np.zeros((len(updates), len(updates)))
    for name in updates[0]:
        for values in _slices(updates, name):
            products += values @ values.T
    return products


def _squared_distances(products: _Values) -> _Values:
    own = np.diag(products)
    return np.maximum(own[:, None] + own[None, :] - 2 * products, 0)


def _by_coordinate(updates: Sequence[Arrays], rule: Callable[[_Values], _Values]) -> dict[str, NDArray[np.float32]]:
    """Applies a rule from (sites, values) to (values,), slice by slice."""
    result = {}
    for name, like in updates[0].items():
        flat = np.concatenate([rule(values) for values in _slices(updates, name)] or [np.empty(0)])
        result[name] = flat.astype(np.float32).reshape(like.shape)
    return result


def _slices(updates: Sequence[Arrays], name: str) -> Iterator[_Values]:
    for start in range(0, updates[0][name].size, _SLICE):
        yield np.stack([arrays[name].reshape(-1)[start : start + _SLICE] for arrays in updates]).astype(np.float64)


def _squares(array: NDArray[np.float32]) -> float:
    flat = array.reshape(-1).astype(np.float64)
    return float(flat @ flat)


def _digest(arrays: Arrays) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(arrays[name].tobytes())
    return digest.digest()
