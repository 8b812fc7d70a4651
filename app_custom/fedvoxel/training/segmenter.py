"""Holds one network on one device: gives and takes its weights, segments with it, and scores what it segments.

What trains the network, with or without a privacy mechanism, holds a segmenter and shares everything else.
"""

from collections.abc import Sequence

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from numpy.typing import NDArray

from fedvoxel.training.config import TrainingConfig
from fedvoxel.training.networks import build_network, freeze_others, get_weights, set_weights
from fedvoxel.training.scoring import score_case
from fedvoxel.updates.scores import CaseScore
from fedvoxel.updates.update import Arrays
from fedvoxel.volumes.plan import PreparedCase


class Segmenter:
    """Holds the network that a job describes."""

    def __init__(self, config: TrainingConfig, classes: Sequence[str], device: str) -> None:
        """Builds the network with weights drawn from the configuration's seed.

        Args:
            config: The job's training section.
            classes: Class names; label code 1 + index, 0 background.
            device: `cpu` or `cuda`.

        Raises:
            ConfigError: The network cannot be built as described.
        """
        self.config, self.classes = config, tuple(classes)
        self.device = torch.device(device)
        self.network = build_network(config.network, len(self.classes) + 1, config.seed).to(self.device)
        freeze_others(self.network, config.trainable)
        self.autocast = _autocast(self.device, config)

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Returns a copy of the current weights; before any training, the initial ones drawn from the seed."""
        return get_weights(self.network)

    def load(self, model: Arrays) -> None:
        """Copies `model` into the network.

        Raises:
            ConfigError: `model` does not fit the network.
        """
        set_weights(self.network, model)

    def predict(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Segments one prepared image (1, X, Y, Z) with the current weights; returns label codes (X, Y, Z)."""
        inference = self.config.inference
        self.network.eval()
        with torch.inference_mode(), self.autocast:
            logits = sliding_window_inference(
                torch.from_numpy(image)[None].to(self.device),
                roi_size=inference.roi_size,
                sw_batch_size=inference.batch_size,
                predictor=self.network,
                overlap=inference.overlap,
                mode="gaussian",
            )
        codes: NDArray[np.uint8] = logits.argmax(1)[0].to("cpu", torch.uint8).numpy()
        return codes

    def evaluate(self, model: Arrays, cases: Sequence[PreparedCase], surfaces: bool = False) -> list[CaseScore]:
        """Scores `model` on `cases`; the network keeps `model` afterwards.

        Args:
            model: Weights to evaluate.
            cases: Prepared cases with their truth.
            surfaces: Whether to compute HD95 too.

        Raises:
            ConfigError: `model` does not fit the network.
        """
        self.load(model)
        return [
            score_case(case.case, self.predict(case.image), case.label, self.classes, case.spacing_mm, surfaces)
            for case in cases
        ]


def loss_of(loss: torch.nn.Module, output: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Returns one number: the loss, averaged over the heads where the network has deep supervision.

    Args:
        loss: Takes logits and labels.
        output: Logits (N, C, X, Y, Z), or (N, heads, C, X, Y, Z).
        labels: What `loss` compares them with.
    """
    heads = output.float().unbind(1) if output.dim() == 6 else (output.float(),)
    return torch.stack([loss(head, labels) for head in heads]).mean()


def _autocast(device: torch.device, config: TrainingConfig) -> torch.autocast:
    if device.type != "cuda":
        enabled = config.cpu_bfloat16 and torch.cpu.get_capabilities().get("avx512_bf16", False)
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)
    dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.autocast(device.type, dtype=dtype, enabled=config.mixed_precision)
