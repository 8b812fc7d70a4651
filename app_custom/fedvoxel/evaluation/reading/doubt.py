"""Says where a model is unsure, voxel by voxel."""

import numpy as np
from numpy.typing import NDArray

_LEAST = 1e-7


def doubt_of(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the entropy of the classes' probabilities, as a share of the largest that it can be.

    It says how evenly the model spreads its bets, and not how often it is wrong: that takes calibration.

    Args:
        probabilities: float32 (classes, X, Y, Z), which add up to 1; two classes or more.

    Returns:
        float32 (X, Y, Z) in [0, 1].

    Source: Shannon 1948, A mathematical theory of communication: −Σ p log p, here over log(classes).
    """
    entropy = np.zeros(probabilities.shape[1:], dtype=np.float32)
    for share in probabilities:
        entropy -= share * np.log(np.maximum(share, _LEAST))
    return np.asarray(np.clip(entropy / np.float32(np.log(len(probabilities))), 0.0, 1.0), dtype=np.float32)
