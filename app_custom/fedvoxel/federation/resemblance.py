"""How a round's updates resemble one another and the step before: what a free rider or a copy cannot hide.

Numbers of this kind say nothing of how good a model is, need no score, and are computed from what the server has got
anyway. A thousand sites have half a million pairs: beyond `MOST_COMPARED` sites pairs are left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fedvoxel.federation.contribution_config import Resemblance
from fedvoxel.federation.snapshot import Snapshot
from fedvoxel.updates.update import Arrays, Update

MOST_COMPARED = 32
"""More sites than these are not compared pair by pair."""
MOST_TRACKED = 2**18
"""Parameters, drawn at random from a larger model, along which directions are added up: a megabyte for each site."""

_SLICE = 2**16
_DIGITS = 6

Pairs = dict[str, dict[str, float]]


class Paths:
    """Adds the directions of each site's updates up, round after round."""

    def __init__(self) -> None:
        """Starts with no round."""
        self._sums: dict[str, NDArray[np.float32]] = {}
        self._tracked: NDArray[np.int64] | None = None

    def add(self, updates: Mapping[str, Update]) -> None:
        """Adds a round's updates, each as a vector of length 1; an update of zeros has no direction."""
        for site, update in updates.items():
            flat = self._choose(np.concatenate([array.reshape(-1) for array in update.arrays.values()]))
            length = float(np.linalg.norm(flat.astype(np.float64)))
            if length:
                self._sums[site] = self._sums.get(site, np.float32(0)) + flat / np.float32(length)

    def cosines(self, sites: Sequence[str]) -> Pairs:
        """Returns the cosine of each pair of sites that has gone anywhere."""
        known = sorted(site for site in sites if site in self._sums)
        return _pairs(known, _cosines(_products([{"path": self._sums[site]} for site in known]))) if known else {}

    def snapshot(self) -> Snapshot:
        """Returns the directions."""
        return Snapshot(arrays={"sums": dict(self._sums)})

    def restore(self, kept: Snapshot) -> None:
        """Takes directions back; which parameters they are tracked along follows from the model's size."""
        self._sums = dict(kept.arrays.get("sums", {}))

    def _choose(self, flat: NDArray[np.float32]) -> NDArray[np.float32]:
        if flat.size <= MOST_TRACKED:
            return flat
        if self._tracked is None:
            self._tracked = np.sort(np.random.default_rng(0).choice(flat.size, MOST_TRACKED, replace=False))
        return flat[self._tracked]


def resemblance_of(
    updates: Mapping[str, Update], last_step: Arrays | None = None, paths: Paths | None = None
) -> Resemblance:
    """Returns the length of each update, and the cosines between them and with the last global step.

    Args:
        updates: The round's updates, all of the same arrays.
        last_step: The global model minus the one of the round before; None in the first round.
        paths: The directions until the round before, to which this round's are added; None compares none.
    """
    sites = sorted(updates)
    rows = [updates[site].arrays for site in sites] + ([last_step] if last_step else [])
    compared = len(sites) <= MOST_COMPARED
    products = _products(rows) if compared else _few_products(rows, bool(last_step))
    cosines = _cosines(products)
    if paths:
        paths.add(updates)
    return Resemblance(
        norms={site: float(np.sqrt(products[index, index])) for index, site in enumerate(sites)},
        pairs=_pairs(sites, cosines) if compared else {},
        last_step={site: float(cosines[index, -1]) for index, site in enumerate(sites)} if last_step else {},
        paths=paths.cosines(sites) if paths else {},
    )


def step_between(before: Arrays, after: Arrays) -> dict[str, NDArray[np.float32]]:
    """Returns `after` minus `before`."""
    return {name: array - before[name] for name, array in after.items()}


def _pairs(sites: Sequence[str], cosines: NDArray[np.float64]) -> Pairs:
    """Returns the cosines above the diagonal by name."""
    return {
        site: {sites[other]: float(cosines[index, other]) for other in range(index + 1, len(sites))}
        for index, site in enumerate(sites[:-1])
    }


def _cosines(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns cosines from inner products; 0 where a vector is all zeros."""
    lengths = np.sqrt(np.diag(products))
    lengths[lengths == 0] = 1.0
    return np.clip(np.round(products / lengths / lengths[:, None], _DIGITS), -1.0, 1.0)


def _products(rows: list[Arrays]) -> NDArray[np.float64]:
    """Returns all inner products, slice by slice: float64 copies of whole models would double the memory."""
    total = np.zeros((len(rows), len(rows)))
    for name, array in rows[0].items():
        for start in range(0, array.size, _SLICE):
            part = np.stack([row[name].reshape(-1)[start : start + _SLICE] for row in rows]).astype(np.float64)
            total += part @ part.T
    return total


def _few_products(rows: list[Arrays], with_step: bool) -> NDArray[np.float64]:
    """Returns the inner products of each with itself and with the last row only; zeros elsewhere."""
    total = np.zeros((len(rows), len(rows)))
    for index, row in enumerate(rows):
        both = _products([row, rows[-1]])
        total[index, index] = both[0, 0]
        if with_step:
            total[index, -1] = total[-1, index] = both[0, 1]
    return total
