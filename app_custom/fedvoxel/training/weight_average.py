"""The moving average of a round's weights: smoother than the last ones, and under noise a part of it averages out.

Source: De et al., arXiv 2204.13650, section 3.4; averaging noisy weights is post-processing and costs no privacy.
"""

from collections.abc import Iterable

import torch


class WeightAverage:
    """Holds the exponential moving average of a round's weights, beginning with those after the first step."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], decay: float | None) -> None:
        """Keeps the parameters; a `decay` of None averages nothing."""
        self._parameters, self._decay = [parameter.detach() for parameter in parameters], decay
        self.values: list[torch.Tensor] = []
        """Is the average, parameter by parameter; empty before the first step."""

    def add(self) -> None:
        """Takes the current weights into the average."""
        if self._decay is None:
            return
        if not self.values:
            self.values = [parameter.clone() for parameter in self._parameters]
        for average, parameter in zip(self.values, self._parameters, strict=True):
            average.lerp_(parameter, 1 - self._decay)

    def apply(self) -> None:
        """Puts the average, if there is one, in the place of the weights."""
        if self.values:
            for parameter, average in zip(self._parameters, self.values, strict=True):
                parameter.copy_(average)
