"""The trained network as ONNX Runtime computes it: what a clinician's machine would use."""

import io
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.session import OnnxRuntime
from fedvoxel.evaluation.inference.sliding import SlidingWindow
from fedvoxel.training.networks import build_network, set_weights
from fedvoxel.training.setup import TrainingTask

_ROOM_MIB = 1 << 16


def onnx_model(task: TrainingTask, weights: Mapping[str, NDArray[np.float32]]) -> SlidingWindow:
    """Returns a job's network with some weights, converted and ready to be moved over images."""
    network = build_network(task.training.network, len(task.classes) + 1, task.training.seed)
    set_weights(network, weights)
    stream, batch = io.BytesIO(), torch.export.Dim.DYNAMIC
    sample = torch.zeros((2, 1, *task.training.inference.roi_size))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (sample,), stream, dynamic_shapes=({0: batch},), external_data=False, verbose=False
        )
    runtime = OnnxRuntime(stream.getvalue(), {}, 1)
    return SlidingWindow(runtime, len(task.classes) + 1, task.training.inference, MemoryBound(_ROOM_MIB))
