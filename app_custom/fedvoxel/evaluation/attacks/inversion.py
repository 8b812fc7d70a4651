"""Reconstructs a scan from a gradient or an update: what an attacker who sees it could look at.

The attacker knows the job (network, loss, model at the start of the round) and, the worst case, the expert's label of
the scan. It looks for the image whose gradient points the way of what it saw, by the cosine of the two, with a little
total variation so that neighbouring voxels agree. A sent update is taken for a gradient with the sign turned round.

Source: Geiping et al., "Inverting gradients: how easy is it to break privacy in federated learning?", NeurIPS 2020.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedvoxel.training.segmenter import loss_of

Gradient = Mapping[str, torch.Tensor]
"""By name of a trainable parameter, of its shape."""

Told = Callable[[int, int], None]
"""Receives (steps done, steps in all)."""


@dataclass(frozen=True)
class Attacked:
    """Is what the attacker knows of the training.

    Attributes:
        network: With the weights at the start of the round.
        loss: Takes logits and label codes.
        labels: Label codes of the scan that is looked for, float32 (1, 1, X, Y, Z).
    """

    network: torch.nn.Module
    loss: torch.nn.Module
    labels: torch.Tensor

    def gradient(self, image: torch.Tensor, differentiable: bool = False) -> dict[str, torch.Tensor]:
        """Returns the gradient of the loss on one image (1, 1, X, Y, Z).

        Args:
            image: The image.
            differentiable: Whether the result is to be differentiated once more.
        """
        named = {name: one for name, one in self.network.named_parameters() if one.requires_grad}
        value = loss_of(self.loss, self.network(image), self.labels)
        found = torch.autograd.grad(value, list(named.values()), create_graph=differentiable, allow_unused=True)
        return {name: one for name, one in zip(named, found, strict=True) if one is not None}


@dataclass(frozen=True)
class Search:
    """Says how long and how the attacker looks.

    Attributes:
        steps: Steps of Adam.
        rate: Its learning rate, in units of the normalised image, falling to nothing along a cosine.
        smoothness: Weight of the total variation.
    """

    steps: int = 250
    rate: float = 0.1
    smoothness: float = 0.02


def reconstruct(
    attacked: Attacked, seen: Gradient, search: Search, seed: int, told: Told | None = None
) -> NDArray[np.float32]:
    """Looks for the image whose gradient points the way of `seen`; returns it as (X, Y, Z).

    Args:
        attacked: What the attacker knows.
        seen: The gradient that it saw; its length does not matter.
        search: How it looks.
        seed: Of the image that it begins with.
        told: Told after every step.
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(attacked.labels.shape, generator=generator).to(attacked.labels.device)
    image = (0.1 * start).requires_grad_()
    optimizer = torch.optim.Adam([image], lr=search.rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, search.steps)
    for step in range(search.steps):
        optimizer.zero_grad(set_to_none=True)
        difference = 1 - _cosine(attacked.gradient(image, differentiable=True), seen)
        (image.grad,) = torch.autograd.grad(difference + search.smoothness * _variation(image), [image])
        optimizer.step()
        decay.step()
        if told:
            told(step + 1, search.steps)
    found: NDArray[np.float32] = image.detach().cpu().numpy()[0, 0]
    return found


def _cosine(found: Gradient, seen: Gradient) -> torch.Tensor:
    product = torch.stack([(one * seen[name]).sum() for name, one in found.items()]).sum()
    lengths = [torch.stack([one.square().sum() for one in side.values()]).sum() for side in (found, seen)]
    # Far below any length that occurs: keeps a gradient of zero from becoming a division by zero.
    return product / (lengths[0] * lengths[1]).clamp_min(1e-30).sqrt()


def _variation(image: torch.Tensor) -> torch.Tensor:
    return torch.stack([image.diff(dim=axis).abs().mean() for axis in (2, 3, 4)]).sum()
