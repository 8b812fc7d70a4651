"""A tiny signed package whose model tells structures by brightness alone: small enough to work out by hand.

`sample_package(folder)` writes it, `sample_trust()` is what opens it.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fedvoxel.config import parse_config
from fedvoxel.export.description import ModelDescription
from fedvoxel.export.package import Package, write_package
from fedvoxel.export.trust import Trust
from fedvoxel.records.identity import Identity
from tests.export.throwaway_root import NOW, Root

ANATOMY = {"scheme": "SCT", "value": "123037004", "meaning": "Anatomical Structure"}
HIPPOCAMPUS = {"scheme": "SCT", "value": "5366008", "meaning": "Hippocampus"}
STEP = 1.0
"""Structure k is where the prepared image is brighter than (k - 1/2) and not as bright as (k + 1/2) STEP."""


@cache
def sample_root() -> Root:
    """The one throw-away root of this process."""
    return Root()


@cache
def sample_signer() -> Identity:
    """The lead of the throw-away consortium."""
    return sample_root().issue()


def sample_trust() -> Trust:
    """What opens a sample package."""
    return Trust(sample_root().certificate)


def structure(name: str, **changes: Any) -> dict[str, Any]:
    """One structure of a description."""
    return {
        "name": name,
        "label": f"{name} hippocampus",
        "category": ANATOMY,
        "type": HIPPOCAMPUS,
        "colour_rgb": [230, 159, 0],
    } | changes


def description_values(**changes: Any) -> dict[str, Any]:
    """The values of a description."""
    return {
        "name": "hippocampus",
        "version": "1.0.0",
        "title": "Hippocampus",
        "intended_use": "Research on volumes of the hippocampus.",
        "limitations": "Crops of one hospital only.",
        "structures": [structure("anterior"), structure("posterior", colour_rgb=[86, 180, 233])],
        "input": {
            "modalities": ["MR"],
            "body_parts": ["HEAD", "BRAIN"],
            "spacing_mm": {"low": 0.8, "high": 1.2},
            "extent_mm": {"low": 20, "high": 70},
        },
        "plan": {},
        "inference": {"roi_size": [16, 16, 16]},
    } | changes


def sample_description(**changes: Any) -> ModelDescription:
    """A description."""
    return parse_config(ModelDescription, description_values(**changes), "model.json")


def bright_onnx(channels: int, step: float = STEP) -> bytes:
    """A network of one 1x1x1 convolution: logits (N, `channels`, X, Y, Z) of `image` (N, 1, X, Y, Z), any X, Y, Z.

    Channel k is k x - k^2 / 2 in units of a step, the largest of which is the k nearest to x.
    """
    steps = np.arange(channels, dtype=np.float32)
    kernel = (8 * steps / step).reshape(channels, 1, 1, 1, 1)
    bias = -8 * steps**2 / 2
    node = helper.make_node("Conv", ["image", "kernel", "bias"], ["logits"], kernel_shape=[1, 1, 1])
    free = ["N", None, "X", "Y", "Z"]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [free[0], 1, *free[2:]])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [free[0], channels, *free[2:]])
    weights = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph([node], "bright", [image], [logits], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def sample_package(
    folder: Path,
    *,
    members: Mapping[str, bytes] | None = None,
    identity: Identity | None = None,
    now: datetime = NOW,
    **changes: Any,
) -> Package:
    """Writes a package; keywords change its description."""
    description = sample_description(**changes)
    contents = {"model.onnx": bright_onnx(description.channels), "docs/model_card.md": b"# Bright\n"}
    return write_package(folder, description, contents | dict(members or {}), identity or sample_signer(), now)
