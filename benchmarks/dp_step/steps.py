"""The four ways to take one training step, on the same batch."""

from collections.abc import Callable
from typing import Any

SIZE = (40, 56, 40)
CLASSES = ("anterior", "posterior")
NETWORKS: dict[str, dict[str, Any]] = {
    "UNet": {"channels": [16, 32, 64], "strides": [2, 2], "num_res_units": 1},
    "DynUNet": {
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [16, 32, 64],
    },
    "SegResNet": {"init_filters": 8, "blocks_down": [1, 1, 2], "blocks_up": [1, 1]},
}

CLIP_NORM, NOISE_MULTIPLIER = 0.5, 1.0

Step = Callable[[], None]


def build(system: str, network: str, patients: int, at_once: int) -> Step:
    """Returns what takes one step of `system`."""
    import torch

    from fedvoxel.config import parse_config
    from fedvoxel.training.config import TrainingConfig
    from fedvoxel.training.segmenter import Segmenter

    torch.set_num_threads(1)
    torch.manual_seed(1)
    section = {
        "network": {"name": network, "arguments": NETWORKS[network]},
        "optimizer": {"name": "AdamW", "learning_rate": 1e-4},
        "sampling": {"kind": "whole", "size": SIZE},
        "inference": {"roi_size": SIZE},
    }
    segmenter = Segmenter(parse_config(TrainingConfig, section, "the benchmark's training section"), CLASSES, "cpu")
    segmenter.network.train()
    images = torch.randn(patients, 1, 1, *SIZE)
    codes = torch.randint(0, len(CLASSES) + 1, images.shape).float()
    if system == "ours":
        return _private_step(segmenter, images, codes, at_once)
    if system == "opacus":
        return _opacus_step(segmenter, images[:, 0], codes[:, 0])
    return _plain_step(segmenter, images[:, 0], codes[:, 0], at_once=patients if system == "plain" else 1)


def _plain_step(segmenter: Any, images: Any, codes: Any, at_once: int) -> Step:
    """A step over the whole batch; or over one patient at a time, clipping and summing, without noise."""
    import torch

    from fedvoxel.training.networks import build_loss, build_optimizer

    loss, network = build_loss(segmenter.config.loss), segmenter.network
    optimizer = build_optimizer(segmenter.config.optimizer, network.parameters())
    parameters = list(network.parameters())

    def take_step() -> None:
        total = None
        for part, truth in zip(images.split(at_once), codes.split(at_once), strict=True):
            optimizer.zero_grad(set_to_none=True)
            loss(network(part), truth).backward()
            if at_once < len(images):
                torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
                found = [parameter.grad for parameter in parameters]
                total = found if total is None else torch._foreach_add(total, found)
        if total is not None:
            for parameter, gradient in zip(parameters, total, strict=True):
                parameter.grad = gradient / len(images)
        optimizer.step()

    return take_step


def _private_step(segmenter: Any, images: Any, codes: Any, at_once: int) -> Step:
    from fedvoxel.privacy.patient_mechanism import PatientMechanism
    from fedvoxel.privacy.sections import PatientMechanismConfig
    from fedvoxel.training.networks import build_optimizer
    from fedvoxel.training.patient_gradients import PatientGradients
    from fedvoxel.training.private_training import private_step

    config = PatientMechanismConfig(
        unit="patient",
        clip_norm=CLIP_NORM,
        noise_multiplier=NOISE_MULTIPLIER,
        sampling_probability=0.5,
        steps_per_round=1,
        delta=1e-3,
        expected_batch=len(images),
    )
    mechanism = PatientMechanism(config)
    gradients = PatientGradients(segmenter, segmenter.config.loss, at_once)
    optimizer = build_optimizer(segmenter.config.optimizer, segmenter.network.parameters())

    def take_step() -> None:
        groups = zip(images.split(at_once), codes.split(at_once), strict=True)
        private_step(gradients, groups, mechanism, optimizer)

    return take_step


def _opacus_step(segmenter: Any, images: Any, codes: Any) -> Step:
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    from fedvoxel.training.networks import build_loss, build_optimizer

    loss, network = build_loss(segmenter.config.loss), GradSampleModule(segmenter.network)
    optimizer = DPOptimizer(
        build_optimizer(segmenter.config.optimizer, network.parameters()),
        noise_multiplier=NOISE_MULTIPLIER,
        max_grad_norm=CLIP_NORM,
        expected_batch_size=len(images),
    )

    def take_step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(network(images), codes).backward()
        optimizer.step()

    return take_step
