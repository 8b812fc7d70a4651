"""Lets a hospital that trains calibrate with the network that it has: torch in the place of ONNX Runtime.

Never imported where a clinician sits. Everything but the network's own arithmetic is the same code as there, and the
arithmetic is float32 in both.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from fedvoxel.evaluation.inference.memory import MIB, MemoryBound, resident_bytes
from fedvoxel.evaluation.inference.session import Batch
from fedvoxel.evaluation.inference.sliding import SlidingWindow
from fedvoxel.training.networks import build_network, set_weights
from fedvoxel.training.setup import TrainingTask

_ROOM_MIB = 1 << 20
"""Above what the process has: a hospital's trainer is not held to a clinician's bound."""


class NetworkRuntime:
    """Computes a network's logits with torch, in float32."""

    def __init__(self, network: torch.nn.Module, device: str) -> None:
        """Takes a network that has its weights."""
        self._network, self._device = network.to(device).eval(), device
        self.largest_batch: int | None = None

    @property
    def name(self) -> str:
        """Returns what computes, and its version."""
        return f"torch {torch.__version__}"

    def logits(self, batch: Batch) -> Batch:
        """Returns logits (N, classes, X, Y, Z) of windows (N, 1, X, Y, Z), both float32."""
        with torch.inference_mode():
            found = self._network(torch.from_numpy(np.ascontiguousarray(batch)).to(self._device))
        if found.dim() == batch.ndim + 1:  # heads of deep supervision, the first at full size
            found = found[:, 0]
        return np.asarray(found.float().cpu().numpy())


def network_model(task: TrainingTask, weights: Mapping[str, NDArray[np.float32]], device: str) -> SlidingWindow:
    """Returns a job's network with some weights, to be moved over images.

    Raises:
        ConfigError: The weights are not this network's.
    """
    network = build_network(task.training.network, len(task.classes) + 1, task.training.seed)
    set_weights(network, weights)
    bound = MemoryBound(resident_bytes() // MIB + _ROOM_MIB)
    return SlidingWindow(NetworkRuntime(network, device), len(task.classes) + 1, task.training.inference, bound)
