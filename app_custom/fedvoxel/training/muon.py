"""Muon for a network's kernels and AdamW for the rest, as one optimiser.

Muon replaces a kernel's gradient step by the nearest matrix with orthonormal rows, so that every direction moves alike.
Averaged over sites such steps lose less than Adam's: docs/federated_training.md has the measurements. torch's Muon
takes matrices only, so kernels of convolutions are shown to it as matrices of output channels by everything else.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the step's size is matched to
AdamW's as in Liu et al., "Muon is scalable for LLM training", 2025, section 2.2.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch

_SMALLEST_MATRIX = 4
"""Fewer rows or input channels than this leave nothing to orthogonalise (first and last layers)."""


class MuonAdamW(torch.optim.Optimizer):
    """Steps kernels with Muon and everything else with AdamW, at the same learning rate."""

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        """Sorts the parameters.

        Args:
            params: The network's parameters; kernels have two or more dimensions, the first two of at least four.
            lr: Learning rate.
            momentum: Muon's momentum, in [0, 1).
            weight_decay: Decoupled weight decay of both.
            betas: AdamW's decay rates.
        """
        super().__init__(list(params), {"lr": lr})
        everything = [parameter for group in self.param_groups for parameter in group["params"]]
        self._kernels = [parameter for parameter in everything if _is_kernel(parameter)]
        self._matrices = [torch.nn.Parameter(kernel.detach().view(kernel.shape[0], -1)) for kernel in self._kernels]
        others = [parameter for parameter in everything if not _is_kernel(parameter)]
        self._parts: list[torch.optim.Optimizer] = []
        if self._matrices:
            options: dict[str, Any] = {"momentum": momentum, "adjust_lr_fn": "match_rms_adamw"}
            self._parts.append(torch.optim.Muon(self._matrices, lr, weight_decay=weight_decay, **options))
        if others:
            self._parts.append(torch.optim.AdamW(others, lr, betas, weight_decay=weight_decay))

    def state_dict(self) -> dict[str, Any]:
        """Returns the moments of Muon and of AdamW, which the class itself has none of."""
        return {**super().state_dict(), "parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the moments of both back."""
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "parts"})
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Takes one step along the gradients; a closure is not supported.

        Raises:
            ValueError: A closure was given.
        """
        if closure is not None:
            raise ValueError("MuonAdamW takes no closure")
        for kernel, matrix in zip(self._kernels, self._matrices, strict=True):
            matrix.grad = None if kernel.grad is None else kernel.grad.view_as(matrix)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = self.param_groups[0]["lr"]
            part.step()


def _is_kernel(parameter: torch.nn.Parameter) -> bool:
    return parameter.dim() >= 2 and min(parameter.shape[:2]) >= _SMALLEST_MATRIX
