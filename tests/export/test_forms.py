"""The networks that jobs use are converted; a form that does not agree with its network never leaves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.agreement import Agreement, compare, together
from fedvoxel.export.forms import forms_of, load_weights, onnx_predictor, program_predictor, torch_predictor
from fedvoxel.training.config import ComponentConfig
from fedvoxel.training.networks import build_network

ROI = (32, 32, 32)


def network(name: str, arguments: Mapping[str, Any]) -> torch.nn.Module:
    return build_network(ComponentConfig(name=name, arguments=dict(arguments)), 3, seed=1)


TINY = {"channels": [4, 8], "strides": [2], "num_res_units": 0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "any_size"),
    [
        ("UNet", {"channels": [8, 16, 32], "strides": [2, 2], "num_res_units": 1}, True),
        (
            "DynUNet",
            {
                "kernel_size": [3, 3, 3],
                "strides": [1, 2, 2],
                "upsample_kernel_size": [2, 2],
                "filters": [8, 16, 32],
                "deep_supervision": True,
                "deep_supr_num": 1,
            },
            True,
        ),
        ("SegResNet", {"init_filters": 8}, True),
        (
            "UNETR",
            {"img_size": [32, 32, 32], "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 2},
            False,
        ),
    ],
)
def test_every_form_agrees_with_its_network(name: str, arguments: dict[str, Any], any_size: bool) -> None:
    built = network(name, arguments)
    forms = forms_of(built, ROI, 3)
    assert forms.any_size == any_size
    images = np.random.default_rng(5).standard_normal((3, 1, *ROI)).astype(np.float32)
    expected = torch_predictor(built)(images)
    assert expected.shape == (3, 3, *ROI)
    for predictor in (program_predictor(forms.program), onnx_predictor(forms.onnx)):
        assert compare(predictor(images), expected).holds
    again = network(name, arguments)
    for parameter in again.parameters():
        torch.nn.init.zeros_(parameter)
    load_weights(again, forms.weights)
    assert compare(torch_predictor(again.eval())(images), expected).softmax == 0


class Flat(torch.nn.Module):
    """Gives what a test says."""

    def __init__(self, give: str) -> None:
        super().__init__()
        self.give, self.layer = give, torch.nn.Conv3d(1, 3, 1)

    def forward(self, image: torch.Tensor) -> Any:
        out = self.layer(image)
        if self.give == "one size" and image.shape[2] != 8:
            raise ValueError("the size is not 8")
        if self.give == "list":
            return [out, out]
        if self.give == "half":
            return out[:, :, ::2]
        if self.give == "python":
            return out * (2.0 if float(image.detach().sum()) > 0 else 1.0)
        return out


@pytest.mark.parametrize(
    ("give", "words"), [("list", "one output"), ("half", "logits of the shape"), ("python", "cannot be converted")]
)
def test_a_network_that_cannot_be_exported_is_refused(give: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        forms_of(Flat(give), (8, 8, 8), 3)


def test_a_network_of_one_window_size_is_exported_for_that_size() -> None:
    forms = forms_of(Flat("one size"), (8, 8, 8), 3)
    assert not forms.any_size
    for predictor in (program_predictor(forms.program), onnx_predictor(forms.onnx)):
        assert predictor(np.ones((5, 1, 8, 8, 8), np.float32)).shape == (5, 3, 8, 8, 8)
        with pytest.raises(PackageError, match="does not take what the network takes"):
            predictor(np.ones((1, 1, 16, 8, 8), np.float32))
    with pytest.raises(ConfigError, match="does not take windows of 10x8x8"):
        forms_of(Flat("one size"), (10, 8, 8), 3)


def test_a_form_that_does_not_agree_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    right = onnx_predictor
    monkeypatch.setattr("fedvoxel.export.forms.onnx_predictor", lambda content: lambda x: right(content)(x) * 1.01)
    with pytest.raises(PackageError, match="ONNX does not agree with the network"):
        forms_of(network("UNet", TINY), (16, 16, 16), 3)


def test_the_global_random_state_and_the_sizes_of_the_job_do_not_matter_to_the_check() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    forms_of(network("UNet", TINY), (16, 8, 12), 3)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("content", [b"", b"no model", b"PK\x05\x06" + bytes(18)])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    for load in (program_predictor, onnx_predictor, lambda bytes_: load_weights(network("UNet", TINY), bytes_)):
        with pytest.raises(PackageError, match="cannot"):
            load(content)


# ------------------------------------------------------------------ agreement


def logits(*values: float) -> np.ndarray:
    """Logits of one voxel."""
    return np.array(values, dtype=np.float32).reshape(1, -1, 1, 1, 1)


def test_agreement_is_of_labels_and_probabilities() -> None:
    found = compare(logits(0.0, 1.0), logits(5.0, 6.0))
    assert (found.argmax, found.voxels) == (1.0, 1) and found.softmax < 1e-12 and found.holds
    off = compare(logits(1.0, 0.0), logits(0.0, 1.0))
    assert off.argmax == 0 and off.softmax == pytest.approx(np.tanh(0.5)) and not off.holds


@pytest.mark.parametrize(
    ("agreement", "holds"),
    [
        (Agreement(10, 0.9999, 1e-3), True),
        (Agreement(10, 0.9998, 0.0), False),
        (Agreement(10, 1.0, 1.1e-3), False),
        (Agreement(10, 1.0, float("nan")), False),
        (together([Agreement(1, 1.0, 0.0), Agreement(1, 1.0, float("nan"))]), False),
        (together([Agreement(30, 1.0, 0.0), Agreement(10, 0.0, 0.0)]), False),
    ],
)
def test_the_bound_is_sharp_and_nan_never_passes(agreement: Agreement, holds: bool) -> None:
    assert agreement.holds is holds


def test_other_shapes_do_not_compare() -> None:
    with pytest.raises(PackageError, match="shape"):
        compare(logits(1.0, 2.0), logits(1.0, 2.0, 3.0))
