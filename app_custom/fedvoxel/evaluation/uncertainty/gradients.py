"""What a network's gradients say of the same question as `occlusion`: for comparison, where torch is installed.

Needs the extra `explain` (captum) and the network itself; a clinician's machine has neither.

Source: Sundararajan, Taly and Yan 2017, "Axiomatic Attribution for Deep Networks" (integrated gradients).
"""

import numpy as np
import torch
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.uncertainty.probability import Voxels

STEPS = 16


def integrated_gradients(
    network: torch.nn.Module, image: Voxels, mask: NDArray[np.bool_], code: int, baseline: Voxels
) -> Voxels:
    """Returns how much each voxel adds to a structure's mean logit over its voxels, on the way from a baseline.

    Args:
        network: In evaluation, on the CPU; takes the image as one window.
        image: float32 (1, X, Y, Z), prepared, of a size that the network takes.
        mask: The structure's voxels, (X, Y, Z).
        code: The structure's, 1 or more.
        baseline: The image without its detail, of the same shape.

    Raises:
        ConfigError: captum is not installed.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        raise ConfigError("captum is not installed; install it with: pip install '.[explain]'") from None
    inside = torch.from_numpy(mask)

    def mean_logit(images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = network(images)
        return logits[:, code][:, inside].mean(dim=1)

    found = IntegratedGradients(mean_logit).attribute(
        torch.from_numpy(image)[None],
        baselines=torch.from_numpy(baseline)[None],
        n_steps=STEPS,
        internal_batch_size=1,
    )
    return np.asarray(found[0, 0].detach().numpy(), np.float32)
