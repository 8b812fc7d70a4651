"""Computes the gradient of every single patient at once, and sums them after clipping each.

The whole network runs under `torch.func.vmap(grad(...))`, which by construction shows each patient to the network
alone. Hooks on layers, as Opacus has by default, break on networks that work in place and give wrong gradients without
an error where a loss or a layer looks at the whole batch.

A gradient is the same to the last bit whoever is in a patient's group, and in which place. Were it not, a patient less
would change everybody else's rounding, and a network that a job has made chaotic would make of a last bit a gradient in
another direction: the sum would move by more than the clip bound. How a number is rounded depends on how many patients
are computed together, so that a group that is too small is filled up, with patients whose rows are then left out.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from monai import losses
from monai.networks.utils import one_hot
from numpy.typing import NDArray
from torch.func import functional_call, grad, vmap

from fedvoxel.errors import ConfigError
from fedvoxel.training.config import ComponentConfig
from fedvoxel.training.networks import build_loss
from fedvoxel.training.patient_views import Views
from fedvoxel.training.segmenter import Segmenter, loss_of

PATIENT_LOSSES = ("DiceLoss", "DiceCELoss", "DiceFocalLoss", "TverskyLoss")
"""Losses of MONAI that vmap can carry; their gradients are tested against one patient at a time."""

Gradients = Mapping[str, torch.Tensor]
"""By parameter name: one gradient per patient, (patients, *shape of the parameter)."""

Sums = dict[str, torch.Tensor]
"""By parameter name: a float64 sum over patients, of the parameter's shape."""

ClipFactor = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Gives, for the l2 norms of gradients, what to multiply each by."""


class PatientGradients:
    """Computes per-patient gradients of a segmenter's network."""

    def __init__(self, segmenter: Segmenter, loss: ComponentConfig, group_size: int = 1) -> None:
        """Refuses what would let one patient's data touch another's gradient.

        Args:
            segmenter: Holds the network. Its mixed precision is left out: it rounds more coarsely.
            loss: The job's loss.
            group_size: Patients whose gradients are computed together; a smaller group is filled up to it.

        Raises:
            ConfigError: The network has BatchNorm, dropout or buffers, or the loss is not among `PATIENT_LOSSES`.
        """
        refuse_shared_state(segmenter.network)
        self._segmenter, self._group_size = segmenter, group_size
        named = segmenter.network.named_parameters()
        self.parameters = {name: parameter for name, parameter in named if parameter.requires_grad}
        """The network's trainable parameters by name, each once."""
        self._places = _places(segmenter.network, self.parameters)
        self._channels = len(segmenter.classes) + 1
        self._loss = build_patient_loss(loss).to(segmenter.device)
        # A network that draws random numbers in another way than by a layer stops here with an error.
        self._of_each = vmap(grad(self._loss_of_one), in_dims=(None, 0, 0), randomness="error")

    def zeros(self) -> Sums:
        """Returns the sum over no patient."""
        return {name: torch.zeros_like(one, dtype=torch.float64) for name, one in self.parameters.items()}

    def of(self, views: Views) -> Gradients:
        """Returns each patient's gradient of the mean loss over its views."""
        patients = len(views[0])
        images, codes = (_filled(part, self._group_size).to(self._segmenter.device) for part in views)
        # One-hot here: the scatter inside MONAI's to_onehot_y does not run under vmap.
        truth = one_hot(codes.flatten(0, 1), self._channels).unflatten(0, codes.shape[:2])
        weights = {name: parameter.detach() for name, parameter in self.parameters.items()}
        gradients: Gradients = self._of_each(weights, images, truth)
        return {name: rows[:patients] for name, rows in gradients.items()}

    def _loss_of_one(self, weights: Gradients, images: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Takes one patient's views: images (views, 1, X, Y, Z) and one-hot truth (views, C, X, Y, Z)."""
        placed = {place: weights[name] for place, name in self._places.items()}
        output = functional_call(self._segmenter.network, placed, (images,), tie_weights=False)
        return loss_of(self._loss, output, truth)


def clipped_sum(
    gradients: PatientGradients, groups: Iterable[Views], clip_factor: ClipFactor, grid_step: float | None = None
) -> Sums:
    """Returns the sum of all patients' clipped gradients; zeros where there is no patient.

    Only one group's gradients are held at a time. Norms and sums are float64, so that rounding cannot push a clipped
    gradient over the bound by more than a few parts in 10^15. Each patient's own gradient is float32.

    Args:
        gradients: Computes the gradients.
        groups: Patients' views, a few patients at a time.
        clip_factor: The mechanism's rule.
        grid_step: A power of two: each clipped gradient is rounded towards zero to its multiples, which cannot lengthen
            it, so that the sum is exact. None leaves them as they are.
    """
    total = gradients.zeros()
    for views in groups:
        found = gradients.of(views)
        norms = joint_norms(found)
        scale = torch.from_numpy(clip_factor(norms.cpu().numpy())).to(norms)
        # A gradient that is not finite counts as zero: an error here would tell of a single patient.
        unusable = ~torch.isfinite(norms)
        for name, sums in total.items():
            rows = found[name].flatten(1).double()
            rows[unusable] = 0.0
            sums += _added(scale, rows, grid_step).view_as(sums)
    return total


def _added(scale: torch.Tensor, rows: torch.Tensor, grid_step: float | None) -> torch.Tensor:
    if grid_step is None:
        return scale @ rows
    return torch.trunc(scale[:, None] * rows / grid_step).sum(0) * grid_step


def joint_norms(gradients: Gradients) -> torch.Tensor:
    """Returns the l2 norm of each patient's gradient over all parameters together, float64 (patients,)."""
    parts = [torch.linalg.vector_norm(one.flatten(1), dim=1, dtype=torch.float64) for one in gradients.values()]
    norms: torch.Tensor = torch.linalg.vector_norm(torch.stack(parts), dim=0)
    return norms


def build_patient_loss(config: ComponentConfig) -> torch.nn.Module:
    """Builds a loss for logits and one-hot truth, both (N, C, X, Y, Z).

    Raises:
        ConfigError: The loss is not among `PATIENT_LOSSES`, or an argument is unknown.
    """
    if config.name not in PATIENT_LOSSES:
        known = ", ".join(PATIENT_LOSSES)
        raise ConfigError(f"training.loss.name: {config.name} is not known to work patient by patient; use {known}")
    build_loss(config)  # says what is wrong with the arguments
    loss: torch.nn.Module = getattr(losses, config.name)(softmax=True, **config.arguments)
    return loss


def refuse_shared_state(network: torch.nn.Module) -> None:
    """Refuses layers that carry anything from one patient to another, or on to the next step.

    Raises:
        ConfigError: Names the layer and says what to use instead.
    """
    for name, layer in network.named_modules():
        kind = type(layer).__name__
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            raise _refusal(name, f"{kind} mixes patients; use instance or group normalisation (norm='instance')")
        if isinstance(layer, torch.nn.modules.dropout._DropoutNd) and layer.p > 0:
            raise _refusal(name, f"{kind} draws would depend on who else takes part in a step; set dropout to 0")
        buffers = [buffer for buffer, _ in layer.named_buffers(recurse=False)]
        if buffers:
            raise _refusal(name, f"{kind} keeps {', '.join(buffers)}, which is not a weight; use a layer without it")


def _filled(part: torch.Tensor, group_size: int) -> torch.Tensor:
    """Returns images or label codes with empty ones after them, of `group_size` patients or more in all."""
    missing = group_size - len(part)
    return torch.cat([part, part.new_zeros((missing, *part.shape[1:]))]) if missing > 0 else part


def _places(network: torch.nn.Module, parameters: Mapping[str, torch.nn.Parameter]) -> dict[str, str]:
    """Returns every place in the network that holds a parameter, with the parameter's name.

    A layer that the network holds twice (DynUNet) has one place, so that functional_call puts the parameter back that
    it found; with its own tie_weights=True it leaves a spent tensor there instead, and the layer is never trained.
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    return {
        f"{path}.{own}".lstrip("."): names[id(parameter)]
        for path, layer in network.named_modules()
        for own, parameter in layer.named_parameters(recurse=False)
        if id(parameter) in names
    }


def _refusal(layer: str, why: str) -> ConfigError:
    return ConfigError(f"training.network: patient-level privacy cannot have the layer {layer or '(top)'}: {why}")
