"""The proximal term of FedProx, which holds a site's weights near those that the round began with.

Source: Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020, equation 2 and Algorithm 2: site k
minimises h_k(w; w^t) = F_k(w) + mu / 2 ||w - w^t||^2, so that mu (w - w^t) is added to each gradient.
"""

from collections.abc import Iterable

import torch


class ProximalTerm:
    """Adds mu (w - w^t) to the gradients of a network's trained parameters."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], mu: float | None) -> None:
        """Takes the parameters' present values as w^t; a `mu` of None adds nothing."""
        self._mu, self._parameters = mu, list(parameters)
        self._start = [] if mu is None else [parameter.detach().clone() for parameter in self._parameters]

    def add_to_gradients(self) -> None:
        """Adds the term's gradient to the one that stands there; a parameter without one is left out of the step."""
        if self._mu is None:
            return
        for parameter, start in zip(self._parameters, self._start, strict=True):
            if parameter.grad is not None:
                parameter.grad.add_(parameter.detach() - start, alpha=self._mu)
