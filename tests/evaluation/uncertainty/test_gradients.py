"""Gradients and occlusion are asked the same question of a network whose answer is known."""

import builtins
from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import ConfigError

torch = pytest.importorskip("torch")
SHAPE = (10, 9, 8)


def test_a_network_that_looks_at_one_voxel_is_explained_by_it() -> None:
    pytest.importorskip("captum")
    from fedvoxel.evaluation.uncertainty.gradients import integrated_gradients

    network = torch.nn.Conv3d(1, 2, 1)
    with torch.no_grad():
        network.weight[:] = torch.tensor([0.0, 2.0]).reshape(2, 1, 1, 1, 1)
    image = np.random.default_rng(1).normal(size=(1, *SHAPE)).astype(np.float32)
    mask = np.zeros(SHAPE, np.bool_)
    mask[4, 5, 6] = True
    heat = integrated_gradients(network, image, mask, 1, np.zeros_like(image))
    assert heat[4, 5, 6] == pytest.approx(2 * image[0, 4, 5, 6], rel=1e-4)
    assert np.count_nonzero(np.abs(heat) > 1e-6) == 1


def test_without_captum_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from fedvoxel.evaluation.uncertainty.gradients import integrated_gradients

    imported = builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("captum"):
            raise ImportError(name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    image = np.zeros((1, *SHAPE), np.float32)
    with pytest.raises(ConfigError, match="captum is not installed"):
        integrated_gradients(torch.nn.Conv3d(1, 2, 1), image, image[0] > 0, 1, image)
