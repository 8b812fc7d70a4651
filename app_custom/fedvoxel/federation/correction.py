"""The server's state of a rule that corrects the sites' steps: SCAFFOLD's c, FedDyn's h.

Both papers give each of N sites the same weight. Here a site's weight is that of the round's mean, its cases n_k, so
that the objective is that of FedAvg, sum of n_k F_k over sum of n_k; with equal n_k it is the paper's. N and the sum of
weights are those of the sites that have contributed so far, each with the last weight that it gave.
"""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.federation.snapshot import Snapshot
from fedvoxel.updates.correction import FedDyn, Scaffold, split_controls, with_controls
from fedvoxel.updates.update import Arrays


class ServerCorrection:
    """Holds the rule's state between rounds, in float64, and applies it to each round's mean."""

    def __init__(self, rule: Scaffold | FedDyn, model: Arrays) -> None:
        """Starts with c = 0 or h = 0, for the arrays of `model`."""
        self._rule = rule
        self._sum = {name: np.zeros(array.shape, np.float64) for name, array in model.items()}
        self._weights: dict[str, int] = {}

    def outgoing(self, model: Arrays) -> dict[str, NDArray[np.float32]]:
        """Returns what the sites are sent: the model, and with SCAFFOLD c beside it."""
        if isinstance(self._rule, FedDyn):
            return dict(model)
        whole = max(1, sum(self._weights.values()))
        return with_controls(model, {name: (total / whole).astype(np.float32) for name, total in self._sum.items()})

    def correct(self, mean: Arrays, weights: dict[str, int]) -> dict[str, NDArray[np.float32]]:
        """Takes a round's mean into the state and returns the step to make from the model.

        Args:
            mean: The weighted mean of what the sites sent, with SCAFFOLD of their control variates' changes too.
            weights: The weight of each site in it.

        Returns:
            The mean difference; with FedDyn minus h / alpha, so that the next model is mean(w_k) - h / alpha.
        """
        difference, controls = split_controls(mean)
        self._weights = self._weights | weights
        taken, whole = sum(weights.values()), sum(self._weights.values())
        if isinstance(self._rule, Scaffold):
            # c is the weighted mean of all c_k, so that its sum grows by the changes of those who took part.
            for name, change in controls.items():
                self._sum[name] = self._sum[name] + taken * change.astype(np.float64)
            return difference
        # The sum holds -h / alpha: h = h - alpha / N sum (w_k - w^t).
        for name, change in difference.items():
            self._sum[name] = self._sum[name] + taken / whole * change.astype(np.float64)
        return {name: (change + self._sum[name]).astype(np.float32) for name, change in difference.items()}

    def snapshot(self) -> Snapshot:
        """Returns the rule's state, float64, and the sites' weights."""
        return Snapshot({"weights": dict(self._weights)}, {"sum": dict(self._sum)})

    def restore(self, kept: Snapshot) -> None:
        """Takes a state back."""
        self._weights, self._sum = dict(kept.values["weights"]), dict(kept.arrays["sum"])
