"""A training section tried without data: what fits passes, what does not is named by its key."""

from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.training.config import TrainingConfig
from fedvoxel.training.dry_run import dry_run
from fedvoxel.training.networks import build_network
from fedvoxel.training.readiness import case_band, readiness
from tests.training.conftest import training_section

UNET = {"name": "UNet", "arguments": {"channels": [4, 8, 16], "strides": [2, 2], "num_res_units": 0}}


def _try(**changes: Any) -> int:
    return dry_run(parse_config(TrainingConfig, training_section(**changes), "the test's training section"), 3)


@pytest.mark.parametrize(
    ("network", "size"),
    [
        (UNET, [40, 56, 40]),
        ({"name": "SegResNet", "arguments": {"init_filters": 8}}, [32, 32, 16]),
        ({"name": "SwinUNETR", "arguments": {"feature_size": 12}}, [64, 64, 64]),
        (
            {
                "name": "DynUNet",
                "arguments": {
                    "kernel_size": [3, 3, 3],
                    "strides": [1, 2, 2],
                    "upsample_kernel_size": [2, 2],
                    "filters": [8, 16, 32],
                    "deep_supervision": False,
                },
            },
            [32, 32, 32],
        ),
    ],
)
def test_a_network_that_fits_its_sizes_passes(network: dict[str, Any], size: list[int]) -> None:
    count = _try(network=network, sampling={"kind": "whole", "size": size}, inference={"roi_size": size})
    config = parse_config(TrainingConfig, training_section(network=network), "the test's training section")
    assert count == sum(parameter.numel() for parameter in build_network(config.network, 3, 1).parameters())


BATCH_NORM = {"name": "UNet", "arguments": {**UNET["arguments"], "norm": "batch"}}
DROPOUT = {"name": "UNet", "arguments": {**UNET["arguments"], "dropout": 0.1}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": BATCH_NORM}, "BatchNorm3d mixes patients"),
        ({"network": DROPOUT}, "draws would depend on who else takes part"),
        ({"loss": {"name": "GeneralizedDiceLoss"}}, "not known to work patient by patient"),
        ({"batch_size": 2}, r"training.batch_size: patient-level privacy has privacy.sampling_probability"),
        ({"epochs_per_round": 2}, "training.epochs_per_round"),
        ({"gradient_clip_norm": 1.0}, r"training.gradient_clip_norm.* privacy.clip_norm"),
    ],
)
def test_what_a_private_trainer_refuses_is_refused_without_data(changes: dict[str, Any], message: str) -> None:
    values = {"network": UNET, "loss": {"name": "DiceCELoss"}, "batch_size": 1, "epochs_per_round": 1} | changes
    config = parse_config(TrainingConfig, training_section(**values), "the test's training section")
    assert dry_run(config, 2) > 0, "in order where no patient is protected"
    with pytest.raises(ConfigError, match=message):
        dry_run(config, 2, patients_protected=True)


def test_a_section_for_a_private_trainer_passes() -> None:
    values = {"network": UNET, "loss": {"name": "DiceCELoss"}, "batch_size": 1, "epochs_per_round": 1}
    config = parse_config(TrainingConfig, training_section(**values), "the test's training section")
    assert dry_run(config, 2, patients_protected=True) == dry_run(config, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"name": "Unet3000"}}, r"training.network.name: unknown network 'Unet3000'"),
        ({"loss": {"name": "DiceLos"}}, r"training.loss.name: unknown loss 'DiceLos'.* did you mean .*DiceLoss"),
        (
            {"network": UNET, "sampling": {"kind": "whole", "size": [17, 16, 16]}},
            "training.sampling.size: UNet does not",
        ),
        ({"network": UNET, "inference": {"roi_size": [16, 16, 18]}}, "training.inference.roi_size: UNet does not take"),
        (
            {"network": {"name": "DenseNet121"}, "sampling": {"kind": "whole", "size": [32, 32, 32]}},
            r"expected 3 channels of \[32, 32, 32\] voxels from DenseNet121, got \[1, 3\]",
        ),
        ({"optimizer": {"name": "AdamW", "arguments": {"speed": 1}}}, "training.optimizer.arguments"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _try(**changes)


@pytest.mark.parametrize(
    ("count", "band"),
    [(0, "none"), (1, "1 to 4"), (4, "1 to 4"), (5, "5 to 9"), (99, "50 to 99"), (100, "100 or more")],
)
def test_a_site_tells_bands(count: int, band: str) -> None:
    assert case_band(count) == band
    told = readiness(count, 0)
    assert told["training_cases"] == band and told["refused_cases"] == "none"
    assert told["versions"]["torch"] != "not installed"


def test_a_pattern_that_names_no_parameter_is_refused_before_anyone_is_asked() -> None:
    assert _try(network=UNET, trainable=["model.*"]) == _try(network=UNET)
    with pytest.raises(ConfigError, match=r"'decoder\.nothing' names no parameter"):
        _try(network=UNET, trainable=["decoder.nothing"])


def test_a_pattern_of_layers_to_leave_at_the_sites_must_name_some() -> None:
    assert _try(network=UNET, site_local=["model.*"]) == _try(network=UNET)
    with pytest.raises(ConfigError, match=r"training\.site_local: '\*\.adn\.N\.\*' names no parameter"):
        _try(network=UNET, site_local=["*.adn.N.*"])
