"""Tries a training section without data: builds its parts, and sends shapes, not numbers, through the network.

Uses PyTorch's meta device, which knows shapes only, so that even a large network takes a fraction of a second.
"""

import torch

from fedvoxel.errors import ConfigError
from fedvoxel.training.config import Size, TrainingConfig
from fedvoxel.training.networks import (
    build_loss,
    build_network,
    build_optimizer,
    freeze_others,
    get_weights,
    names_like,
    trained_parameters,
)
from fedvoxel.training.patient_gradients import build_patient_loss, refuse_shared_state
from fedvoxel.training.private_training import refuse_overruled


def dry_run(config: TrainingConfig, class_count: int, patients_protected: bool = False) -> int:
    """Builds network, loss and optimiser and checks that the sizes fit the network.

    Args:
        config: The job's training section.
        class_count: Output channels, background included.
        patients_protected: Whether the job has a privacy section with unit "patient", so that what its trainer would
            refuse is refused here.

    Returns:
        The number of parameters.

    Raises:
        ConfigError: A part cannot be built, a pattern names no parameter, a part does not go with patient-level
            privacy, or the network does not segment volumes of the job's sizes.
    """
    network = build_network(config.network, class_count, config.seed)
    freeze_others(network, config.trainable)
    names_like(config.site_local or (), list(get_weights(network)), "site_local")
    if patients_protected:
        refuse_overruled(config)
        refuse_shared_state(network)
        build_patient_loss(config.loss)
    build_loss(config.loss)
    build_optimizer(config.optimizer, trained_parameters(network).values())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    network = network.to("meta").eval()
    _check_size(network, config.sampling.size, class_count, "training.sampling.size")
    _check_size(network, config.inference.roi_size, class_count, "training.inference.roi_size")
    return parameters


def _check_size(network: torch.nn.Module, size: Size, class_count: int, key: str) -> None:
    name = type(network).__name__
    try:
        with torch.no_grad():
            output = network(torch.zeros((1, 1, *size), device="meta"))
    except NotImplementedError:
        return  # the network needs values, which the meta device has not
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{key}: {name} does not take {list(size)} voxels: {said}") from None
    shape = tuple(getattr(output, "shape", ()))
    if shape != (1, class_count, *size):
        raise ConfigError(
            f"training.network: expected {class_count} channels of {list(size)} voxels from {name}, got {list(shape)}; "
            "it is no segmentation network, or its arguments change the size"
        )
