"""Builds MONAI networks, losses and torch optimisers by name, and refuses what it does not know.

A name is looked up in one public MONAI module only and must be a network or a loss there, so that a job cannot reach
any other class through it.
"""

import difflib
import fnmatch
import inspect
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from monai import losses
from monai.networks import nets
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError
from fedvoxel.training.config import ComponentConfig, OptimizerConfig
from fedvoxel.training.muon import MuonAdamW
from fedvoxel.updates.update import Arrays


def build_network(config: ComponentConfig, class_count: int, seed: int) -> torch.nn.Module:
    """Builds a three-dimensional, one-channel segmentation network with weights drawn from `seed`.

    Args:
        config: Name in `monai.networks.nets` and arguments.
        class_count: Output channels, background included.
        seed: Seed of the initial weights; the global random state is left as it was.

    Raises:
        ConfigError: The name or an argument is unknown, or the arguments do not fit together.
    """
    network_class = _find(nets, config.name, torch.nn.Module, "network")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _build(network_class, config, _filled_in(class_count), "network")


def network_arguments(config: ComponentConfig, class_count: int) -> dict[str, Any]:
    """Returns all arguments that `build_network` gives to the class, as JSON values.

    Raises:
        ConfigError: The name or an argument is unknown.
    """
    return _arguments(_find(nets, config.name, torch.nn.Module, "network"), config, _filled_in(class_count), "network")


def build_loss(config: ComponentConfig) -> torch.nn.Module:
    """Builds a loss of `monai.losses` for logits (N, C, X, Y, Z) and label codes (N, 1, X, Y, Z).

    Raises:
        ConfigError: The name or an argument is unknown.
    """
    loss_class = _find(losses, config.name, torch.nn.Module, "loss")
    return _build(loss_class, config, {"to_onehot_y": True, "softmax": True}, "loss")


def build_optimizer(config: OptimizerConfig, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """Builds an optimiser of `torch.optim`, or `MuonAdamW`.

    Raises:
        ConfigError: An argument is unknown or out of range.
    """
    optimizer_class = MuonAdamW if config.name == "MuonAdamW" else getattr(torch.optim, config.name)
    try:
        optimizer: torch.optim.Optimizer = optimizer_class(parameters, lr=config.learning_rate, **config.arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"training.optimizer.arguments: {config.name} refuses them: {error}") from None
    return optimizer


def freeze_others(network: torch.nn.Module, trainable: Sequence[str] | None) -> None:
    """Leaves gradients to the parameters that a pattern of `trainable` names; None leaves them to all.

    Raises:
        ConfigError: A pattern names no parameter.
    """
    if trainable is None:
        return
    chosen = set(names_like(trainable, [name for name, _ in network.named_parameters()], "trainable"))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in chosen)


def names_like(patterns: Sequence[str], names: Sequence[str], key: str) -> list[str]:
    """Returns the names that a pattern matches.

    Args:
        patterns: As `fnmatch` has them.
        names: The network's own.
        key: Key of the training section that holds the patterns, for the error.

    Raises:
        ConfigError: A pattern names no parameter.
    """
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise ConfigError(f"training.{key}: {pattern!r} names no parameter; the network has {', '.join(names)}")
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def trained_parameters(network: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Returns the parameters that are trained, by name."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def get_weights(network: torch.nn.Module) -> dict[str, NDArray[np.float32]]:
    """Returns a copy of every floating-point entry of the network's state as float32."""
    return {
        name: tensor.detach().to("cpu", torch.float32).numpy().copy()
        for name, tensor in network.state_dict().items()
        if tensor.is_floating_point()
    }


def set_weights(network: torch.nn.Module, weights: Arrays) -> None:
    """Copies `weights` into the network; entries that are not floating point stay as they are.

    Raises:
        ConfigError: Names or shapes differ from the network's own.
    """
    state = network.state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in state.items() if tensor.is_floating_point()}
    if expected != {name: tuple(array.shape) for name, array in weights.items()}:
        raise ConfigError("the model received does not have the names and shapes of the network that the job describes")
    with torch.no_grad():
        for name, array in weights.items():
            state[name].copy_(torch.from_numpy(np.ascontiguousarray(array)))


def _find(module: Any, name: str, base: type, kind: str) -> Any:
    known = sorted(key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, base))
    if name not in known:
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known[:8])}, ..."
        raise ConfigError(f"training.{kind}.name: unknown {kind} {name!r} in {module.__name__}; {hint}")
    return getattr(module, name)


def _filled_in(class_count: int) -> dict[str, Any]:
    return {"spatial_dims": 3, "in_channels": 1, "out_channels": class_count}


def _build(component: Any, config: ComponentConfig, filled: dict[str, Any], kind: str) -> torch.nn.Module:
    arguments = _arguments(component, config, filled, kind)
    try:
        built: torch.nn.Module = component(**arguments)
    except (TypeError, ValueError, AssertionError, NotImplementedError, IndexError, RuntimeError) as error:
        raise ConfigError(f"training.{kind}.arguments: {config.name} refuses them: {error}") from None
    return built


def _arguments(component: Any, config: ComponentConfig, filled: dict[str, Any], kind: str) -> dict[str, Any]:
    accepted = inspect.signature(component.__init__).parameters
    unknown = sorted(set(config.arguments) - set(accepted))
    if unknown:
        raise ConfigError(f"training.{kind}.arguments: {config.name} has no argument {', '.join(unknown)}")
    taken = sorted(set(config.arguments) & set(filled))
    if taken:
        raise ConfigError(
            f"training.{kind}.arguments: {', '.join(taken)} follow from the job's classes; leave them out"
        )
    return {key: value for key, value in filled.items() if key in accepted} | config.arguments
