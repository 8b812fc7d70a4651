"""Runs a package's ONNX model in this process, on all cores: bytes in, and never a file of it on the disk."""

import os
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.inference.refusal import prediction_error

Batch = NDArray[np.float32]


class Runtime(Protocol):
    """Computes a network's output."""

    @property
    def name(self) -> str:
        """Returns what computes, and its version."""

    @property
    def largest_batch(self) -> int | None:
        """Returns how many windows the model takes at once; None if any number."""

    def logits(self, batch: Batch) -> Batch:
        """Returns logits (N, classes, X, Y, Z) of windows (N, 1, X, Y, Z), both float32.

        Raises:
            PredictionError: The model fails on them.
        """


class OnnxRuntime:
    """Computes with ONNX Runtime on the CPU."""

    def __init__(self, model: bytes, external: Mapping[str, bytes], threads: int | None = None) -> None:
        """Reads a model.

        Args:
            model: The ONNX file.
            external: The files that it keeps its weights in, by name.
            threads: How many threads compute one operator; as many as this process may use cores by default.

        Raises:
            PredictionError: It is no model that ONNX Runtime takes, with one image in and one output.
        """
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if external:
            names, contents = list(external), [np.frombuffer(content, np.uint8) for content in external.values()]
            sizes = [content.size for content in contents]
            options.add_external_initializers_from_files_in_memory(names, contents, sizes)
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            (image,), (output,) = self._session.get_inputs(), self._session.get_outputs()
        except Exception as error:  # a parser of foreign bytes; its text may hold the model's
            found = f"ONNX Runtime cannot use the model ({type(error).__name__})"
            raise prediction_error("unusable_model", found) from None
        self._input, self._output = image.name, output.name
        self._batch = image.shape[0] if image.shape and isinstance(image.shape[0], int) else None
        self._version = onnxruntime.__version__

    @property
    def name(self) -> str:
        """Returns what computes, and its version."""
        return f"ONNX Runtime {self._version}"

    @property
    def largest_batch(self) -> int | None:
        """Returns how many windows the model takes at once; None if any number."""
        return self._batch

    def logits(self, batch: Batch) -> Batch:
        """Returns logits (N, classes, X, Y, Z) of windows (N, 1, X, Y, Z), both float32.

        Raises:
            PredictionError: The model fails on them.
        """
        try:
            (found,) = self._session.run([self._output], {self._input: batch})
        except Exception as error:  # whatever a kernel raises
            raise prediction_error("unusable_model", f"the model fails on a window ({type(error).__name__})") from None
        return np.asarray(found, np.float32)


def usable_cores() -> int:
    """Returns how many cores this process may use."""
    return max(1, len(os.sched_getaffinity(0)))


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise prediction_error("no_runtime", "ONNX Runtime is not installed") from None
    return onnxruntime
