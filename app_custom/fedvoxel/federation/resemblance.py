"""How a round's updates resemble one another and the step before: what a free rider or a copy cannot hide.

Numbers of this kind say nothing of how good a model is, need no score, and are computed from what the server has got
anyway. A thousand sites have half a million pairs: beyond `MOST_COMPARED` sites pairs are left out.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedvoxel.federation.contribution_config import Resemblance
from fedvoxel.updates.update import Arrays, Update

MOST_COMPARED = 32
"""More sites than these are not compared pair by pair."""

_SLICE = 2**16
_DIGITS = 6


def resemblance_of(updates: Mapping[str, Update], last_step: Arrays | None = None) -> Resemblance:
    """Returns the length of each update, and the cosines between them and with the last global step.

    Args:
        updates: The round's updates, all of the same arrays.
        last_step: The global model minus the one of the round before; None in the first round.
    """
    sites = sorted(updates)
    rows = [updates[site].arrays for site in sites] + ([last_step] if last_step else [])
    compared = len(sites) <= MOST_COMPARED
    products = _products(rows) if compared else _few_products(rows, bool(last_step))
    lengths = np.sqrt(np.diag(products))
    cosines = products / np.where(lengths > 0, lengths, 1.0) / np.where(lengths > 0, lengths, 1.0)[:, None]

    def cosine(one: int, other: int) -> float:
        return float(np.clip(round(float(cosines[one, other]), _DIGITS), -1.0, 1.0))

    count = len(sites)
    return Resemblance(
        norms={site: float(lengths[index]) for index, site in enumerate(sites)},
        pairs={
            site: {sites[other]: cosine(index, other) for other in range(index + 1, count)}
            for index, site in enumerate(sites[:-1])
        }
        if compared
        else {},
        last_step={site: cosine(index, count) for index, site in enumerate(sites)} if last_step else {},
    )


def step_between(before: Arrays, after: Arrays) -> dict[str, NDArray[np.float32]]:
    """Returns `after` minus `before`."""
    return {name: array - before[name] for name, array in after.items()}


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
