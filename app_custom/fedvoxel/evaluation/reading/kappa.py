"""Says how far two readers agree beyond chance, on categories and on ratings."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Returns Cohen's kappa of two readers over the same cases; None where chance alone would agree always.

    Raises:
        ValueError: The two are not of the same length, or empty.

    Source: Cohen 1960, A coefficient of agreement for nominal scales: (p_o − p_e) / (1 − p_e).
    """
    categories = {value: place for place, value in enumerate(dict.fromkeys((*first, *second)))}
    size = len(categories)
    return _kappa([categories[value] for value in first], [categories[value] for value in second], 1.0 - np.eye(size))


def weighted_kappa(first: Sequence[int], second: Sequence[int], scale: int) -> float | None:
    """Returns Cohen's kappa with quadratic weights of two readers' ratings 1 to `scale`; None as for `cohen_kappa`.

    Raises:
        ValueError: The two are not of the same length, empty, or a rating is not on the scale.

    Source: Cohen 1968, Weighted kappa: 1 − Σ w·o / Σ w·e with w = (i − j)²; Fleiss and Cohen 1973 for these weights.
    """
    if any(not 1 <= rating <= scale for rating in (*first, *second)):
        raise ValueError(f"expected ratings from 1 to {scale}")
    steps = np.arange(scale)
    disagreement = np.square(steps[:, np.newaxis] - steps[np.newaxis, :]).astype(np.float64)
    return _kappa([rating - 1 for rating in first], [rating - 1 for rating in second], disagreement)


def _kappa(first: Sequence[int], second: Sequence[int], disagreement: NDArray[np.float64]) -> float | None:
    if len(first) != len(second) or not first:
        raise ValueError(f"expected as many answers of both readers, and one at least; got {len(first)}, {len(second)}")
    observed = np.zeros(disagreement.shape)
    np.add.at(observed, (np.asarray(first), np.asarray(second)), 1.0 / len(first))
    chance = np.outer(observed.sum(axis=1), observed.sum(axis=0))
    expected = float((disagreement * chance).sum())
    return None if expected == 0.0 else 1.0 - float((disagreement * observed).sum()) / expected
