"""The systems that are compared: each takes a prepared image and returns its label map.

All cover the image with the same windows, which overlap by a quarter and are weighted by a Gaussian. What is marked as
tried is no candidate: bfloat16 and larger windows change the result.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.inference.networks import CLASSES, torch_network

OVERLAP = 0.25
LARGER = 4 / 3
"""How much longer the sides of the larger windows are."""

Label = NDArray[np.uint8]
Segment = Callable[[NDArray[np.float32], Any], Label]
"""Takes an image (1, X, Y, Z) and a window, and returns its label."""


@dataclass(frozen=True)
class System:
    """Is one way to use a network.

    Attributes:
        title: What the report calls it.
        is_ours: Whether it is what `fedvoxel predict` does.
        is_tried: Whether it gives other results than the network, and was only tried.
    """

    title: str
    is_ours: bool = False
    is_tried: bool = False


SYSTEMS = {
    "eager": System("MONAI, eager"),
    "torchscript": System("MONAI, TorchScript"),
    "onnxruntime": System("FedVoxel, ONNX Runtime", is_ours=True),
    "openvino": System("FedVoxel, OpenVINO", is_ours=True),
    "eager_bf16": System("MONAI, eager in bfloat16", is_tried=True),
    "openvino_bf16": System("FedVoxel, OpenVINO in bfloat16", is_tried=True),
    "openvino_large": System("FedVoxel, OpenVINO, larger windows", is_tried=True),
}


def segment_with(system: str, network: str, folder: Path, limit_mb: int) -> Segment:
    """Returns what segments with one system; everything heavy is imported here."""
    if system.startswith("eager") or system == "torchscript":
        return _torch(system, network, folder)
    return _ours(system, (folder / f"{network}.onnx").read_bytes(), limit_mb)


def _torch(system: str, network: str, folder: Path) -> Segment:
    import torch
    from monai.inferers import sliding_window_inference

    from fedvoxel.evaluation.inference.session import usable_cores

    torch.set_num_threads(usable_cores())
    loaded = torch.jit.load(str(folder / f"{network}.ts")) if system == "torchscript" else torch_network(network)
    low = torch.autocast("cpu", dtype=torch.bfloat16, enabled=system == "eager_bf16")

    def predictor(window: Any) -> Any:
        with low:
            return loaded(window).float()

    def segment(image: NDArray[np.float32], size: Any) -> Label:
        with torch.inference_mode():
            found = sliding_window_inference(
                torch.from_numpy(image)[None], size, 1, predictor, overlap=OVERLAP, mode="gaussian"
            )
            return found.argmax(1)[0].to(torch.uint8).numpy()

    return segment


def _ours(system: str, model: bytes, limit_mb: int) -> Segment:
    from fedvoxel.evaluation.inference.memory import MemoryBound
    from fedvoxel.evaluation.inference.sliding import SlidingWindow
    from fedvoxel.training.config import InferenceConfig
    from fedvoxel.volumes.restoring import most_probable

    runtime = _runtime(system, model)

    def segment(image: NDArray[np.float32], size: Any) -> Label:
        if system == "openvino_large":
            size = [_larger(side, length) for side, length in zip(size, image.shape[1:], strict=True)]
        config = InferenceConfig(roi_size=tuple(size), overlap=OVERLAP)
        window = SlidingWindow(runtime, CLASSES, config, MemoryBound(limit_mb))
        return most_probable(window.probabilities(image))

    return segment


def _larger(side: int, length: int) -> int:
    """Returns a side that is longer, no longer than the image needs, and a multiple of what networks halve."""
    return int(min(side * LARGER, length + 15) // 16 * 16)


def _runtime(system: str, model: bytes) -> Any:
    from fedvoxel.evaluation.inference.openvino_session import OpenVinoRuntime
    from fedvoxel.evaluation.inference.session import OnnxRuntime

    if system == "onnxruntime":
        return OnnxRuntime(model, {})
    runtime = OpenVinoRuntime(model)
    if system == "openvino_bf16":
        runtime.settings["INFERENCE_PRECISION_HINT"] = "bf16"
    return runtime
