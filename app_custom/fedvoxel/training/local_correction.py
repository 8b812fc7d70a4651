"""A site's side of SCAFFOLD and FedDyn in one round: the term of its gradients, and its next control variate.

Sources: Karimireddy et al., ICML 2020, Algorithm 1; Acar et al., ICLR 2021, Algorithm 1.
"""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.training.gradient_term import GradientTerm, MeanGradient, NamedParameters
from fedvoxel.updates.correction import FedDyn, Scaffold
from fedvoxel.updates.update import Arrays


class LocalCorrection:
    """Holds one round of SCAFFOLD's c_k or FedDyn's h_k.

    SCAFFOLD's c_k becomes the mean of the round's gradients. That is the paper's option II, c_k - c + (x - y_k) / (K
    eta), wherever this is a mean of gradients at all: with plain SGD at one rate. It holds for any optimiser.
    """

    def __init__(
        self, rule: Scaffold | FedDyn, parameters: NamedParameters, model: Arrays, controls: Arrays, kept: Arrays
    ) -> None:
        """Opens the round.

        Args:
            rule: What the server has named.
            parameters: The trained parameters by name.
            model: w^t.
            controls: SCAFFOLD's c; empty with FedDyn.
            kept: This site's c_k or h_k; empty stands for zeros.
        """
        self._rule, self._model = rule, model
        self._own = {name: kept.get(name, np.zeros_like(model[name])) for name in parameters}
        if isinstance(rule, FedDyn):
            self.mean_gradient = None
            e = {name: -own for name, own in self._own.items()}
            self.term = GradientTerm(parameters, rule.alpha, model, e)
        else:
            self.mean_gradient = MeanGradient(parameters)
            self.term = GradientTerm(parameters, e={name: controls[name] - own for name, own in self._own.items()})

    def next_own(self, trained: Arrays) -> dict[str, NDArray[np.float32]]:
        """Returns the next c_k or h_k, given the trained weights."""
        if isinstance(self._rule, FedDyn):
            alpha = np.float32(self._rule.alpha)
            return {name: own - alpha * (trained[name] - self._model[name]) for name, own in self._own.items()}
        return self.mean_gradient.mean() if self.mean_gradient else {}

    def changes(self, following: Arrays) -> dict[str, NDArray[np.float32]]:
        """Returns what the server is sent of it: the change of c_k, zeros for what is not trained; none with FedDyn."""
        if isinstance(self._rule, FedDyn):
            return {}
        zeros = {name: np.zeros_like(array) for name, array in self._model.items()}
        return zeros | {name: following[name] - own for name, own in self._own.items()}
