"""MONAI networks by name: the four that we say we tried, and clear refusals of everything else."""

import numpy as np
import pytest
import torch

from fedvoxel.errors import ConfigError
from fedvoxel.training.config import ComponentConfig, OptimizerConfig
from fedvoxel.training.networks import build_loss, build_network, build_optimizer, get_weights, set_weights

NETWORKS = {
    "UNet": {"channels": [4, 8], "strides": [2]},
    "DynUNet": {
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [4, 8, 8],
        "deep_supervision": True,
    },
    "SegResNet": {"init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    "SwinUNETR": {"feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_that_we_name_train_a_step(name: str) -> None:
    network = build_network(ComponentConfig(name=name, arguments=NETWORKS[name]), class_count=3, seed=1)
    # SwinUNETR halves the volume five times and normalises what is left, which must be more than one voxel.
    size = (64, 64, 64) if name == "SwinUNETR" else (32, 32, 32)
    images, labels = torch.randn(1, 1, *size), torch.randint(0, 3, (1, 1, *size)).float()
    output = network.train()(images)
    head = output[:, 0] if output.dim() == 6 else output
    assert head.shape == (1, 3, *size)
    loss = build_loss(ComponentConfig(name="DiceCELoss"))(head, labels)
    loss.backward()
    assert torch.isfinite(loss)


def test_the_seed_alone_decides_the_initial_weights() -> None:
    config = ComponentConfig(name="UNet", arguments=NETWORKS["UNet"])
    before = torch.random.get_rng_state()
    first, again, other = (get_weights(build_network(config, 2, seed)) for seed in (5, 5, 6))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)


def test_weights_make_the_round_trip() -> None:
    config = ComponentConfig(name="SegResNet", arguments=NETWORKS["SegResNet"])
    source, target = build_network(config, 2, 1), build_network(config, 2, 2)
    set_weights(target, get_weights(source))
    images = torch.randn(1, 1, 16, 16, 16)
    assert torch.equal(source.eval()(images), target.eval()(images))


@pytest.mark.parametrize("change", [{"extra": np.zeros(1, np.float32)}, {}])
def test_a_model_that_does_not_fit_is_refused(change: dict) -> None:
    network = build_network(ComponentConfig(name="UNet", arguments=NETWORKS["UNet"]), 2, 1)
    weights = get_weights(network) | change
    if not change:
        weights.popitem()
    with pytest.raises(ConfigError, match="names and shapes"):
        set_weights(network, weights)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "UNett"}, r"training.network.name: unknown network 'UNett'.*did you mean UNet"),
        ({"name": "os"}, "unknown network 'os'"),
        ({"name": "UNet", "arguments": {"chanels": [4]}}, "no argument chanels"),
        (
            {"name": "UNet", "arguments": {"channels": [4, 8], "strides": []}},
            "training.network.arguments: UNet refuses",
        ),
        ({"name": "UNet", "arguments": {"out_channels": 9, **NETWORKS["UNet"]}}, "follow from the job's classes"),
    ],
)
def test_an_unknown_network_or_argument_is_named(config: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_network(ComponentConfig(**config), 2, 1)


def test_an_unknown_loss_or_optimiser_argument_is_named() -> None:
    with pytest.raises(ConfigError, match=r"training\.loss\.name: unknown loss 'DiceLos'"):
        build_loss(ComponentConfig(name="DiceLos"))
    with pytest.raises(ConfigError, match=r"training.optimizer.arguments"):
        build_optimizer(OptimizerConfig(arguments={"momentumm": 1}), [torch.nn.Parameter(torch.zeros(1))])
