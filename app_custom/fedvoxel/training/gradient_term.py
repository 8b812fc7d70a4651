"""What FedProx, SCAFFOLD, FedDyn and Ditto add to each gradient of a site: g + mu (w - w^t) + e.

| rule | mu | e |
| --- | --- | --- |
| FedProx (Li et al., MLSys 2020, equation 2) | mu | 0 |
| SCAFFOLD (Karimireddy et al., ICML 2020, Algorithm 1) | 0 | c - c_k |
| FedDyn (Acar et al., ICLR 2021, Algorithm 1) | alpha | - h_k |
| Ditto's personal model (Li et al., ICML 2021, Algorithm 1) | lambda | 0 |
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from fedvoxel.updates.update import Arrays

NamedParameters = Mapping[str, torch.nn.Parameter]


class GradientTerm:
    """Adds mu (w - w^t) + e to the gradients of a network's trained parameters."""

    def __init__(
        self, parameters: NamedParameters, mu: float = 0.0, start: Arrays | None = None, e: Arrays | None = None
    ) -> None:
        """Keeps copies of w^t and e on the parameters' device.

        Args:
            parameters: The trained parameters by name.
            mu: 0 or more.
            start: w^t by name; None takes the parameters' present values.
            e: By name; None stands for zeros.
        """
        self._parameters, self._mu = list(parameters.values()), mu
        self._start, self._e = [], []
        if mu:
            own = {name: parameter.detach().clone() for name, parameter in parameters.items()}
            self._start = list(own.values()) if start is None else _like(parameters, start)
        if e is not None:
            self._e = _like(parameters, e)

    def add_to_gradients(self) -> None:
        """Adds the term to the gradients that stand there; a parameter without one is left out of the step."""
        for index, parameter in enumerate(self._parameters):
            if parameter.grad is None:
                continue
            if self._mu:
                parameter.grad.add_(parameter.detach() - self._start[index], alpha=self._mu)
            if self._e:
                parameter.grad.add_(self._e[index])


class MeanGradient:
    """Averages a round's gradients as they come from the loss, before any term is added."""

    def __init__(self, parameters: NamedParameters) -> None:
        """Starts with no gradient."""
        self._parameters = parameters
        self._sums = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
        self._count = 0

    def add(self) -> None:
        """Takes the gradients that stand there; those that overflowed, whose step is skipped, are left out."""
        present = {name: p.grad for name, p in self._parameters.items() if p.grad is not None}
        if not torch.isfinite(torch.nn.utils.get_total_norm(present.values())):
            return
        for name, gradient in present.items():
            self._sums[name].add_(gradient)
        self._count += 1

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """Returns the mean by name; zeros where nothing was added."""
        count = max(1, self._count)
        return {name: (total / count).to("cpu", torch.float32).numpy() for name, total in self._sums.items()}


def _like(parameters: NamedParameters, arrays: Arrays) -> list[torch.Tensor]:
    return [_tensor(arrays[name], parameter) for name, parameter in parameters.items()]


def _tensor(array: NDArray[np.float32], parameter: torch.nn.Parameter) -> torch.Tensor:
    return torch.from_numpy(np.array(array)).to(parameter.device, parameter.dtype)
