"""What is a difference to a model, and what looks like a whole model instead."""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.updates.update import Arrays


def difference_of(trained: Arrays, model: Arrays) -> dict[str, NDArray[np.float32]]:
    """Returns local minus global, under the model's names and with its shapes."""
    return {name: (trained[name] - model[name]).astype(np.float32) for name in model}


def check_is_difference(arrays: Arrays, model: Arrays) -> None:
    """Refuses what is, or all but is, a whole model: most of it lies nearer to the model received than to zero.

    Whole weights are the model received and a small step, so that array by array the step is shorter than they are. A
    difference is the step alone. Arrays count by their size, as a short array may well have moved by more than it was.
    This is the second line, against a mistake: it sees no model that was scaled or hidden on purpose, and none where
    the model received is zeros or training has moved it by more than its own length.

    Args:
        arrays: What is said to be a difference, finite, with the model's names and shapes.
        model: The model received.

    Raises:
        UpdateError: It is not plausible as a difference.
    """
    sizes = {name: array.size for name, array in model.items()}
    whole = sum(size for name, size in sizes.items() if _is_nearer(arrays[name], model[name]))
    if 2 * whole > sum(sizes.values()):
        raise UpdateError(
            "full weights: expected the difference to the model received, got values that lie nearer to that model "
            "than to zero; only differences leave a site"
        )


def _is_nearer(array: NDArray[np.float32], model: NDArray[np.float32]) -> bool:
    """Says whether an array lies nearer to the model's than to zero."""
    exact = np.asarray(array, np.float64)
    return bool(np.linalg.norm((exact - model).ravel()) < np.linalg.norm(exact.ravel()))
