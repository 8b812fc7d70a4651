"""Runs a package's ONNX model with OpenVINO, which is faster on Intel and AMD processors: an extra of its own.

It computes in float32. Left to itself OpenVINO takes bfloat16 where a processor has it, which changes labels at borders
(`benchmarks.inference` says how many): a model was not scored like that.
"""

import sys
from functools import cache
from typing import Any

import numpy as np

from fedvoxel.evaluation.inference.refusal import prediction_error
from fedvoxel.evaluation.inference.session import Batch, usable_cores


class OpenVinoRuntime:
    """Computes with OpenVINO on the CPU, one window at a time.

    Attributes:
        settings: OpenVINO's, with which the model is compiled for its first window.
    """

    def __init__(self, model: bytes, threads: int | None = None) -> None:
        """Reads a model.

        Args:
            model: The ONNX file, with its weights inside.
            threads: How many threads compute; as many as this process may use cores by default.

        Raises:
            PredictionError: It is no model that OpenVINO takes, with one image in and one output, or OpenVINO is not
                installed.
        """
        self._core = _core()
        self.settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads or usable_cores(),
        }
        try:
            self._model: Any = self._core.read_model(model)
            (self._image,), (_,) = self._model.inputs, self._model.outputs
        except Exception as error:  # a parser of foreign bytes; its text may hold the model's
            raise prediction_error("unusable_model", f"OpenVINO cannot use it ({type(error).__name__})") from None
        self._compiled: Any = None
        self._shape: tuple[int, ...] = ()
        self._version = str(_openvino().__version__).split("-")[0]

    @property
    def name(self) -> str:
        """Returns what computes, and its version."""
        return f"OpenVINO {self._version}"

    @property
    def largest_batch(self) -> int | None:
        """Returns 1: a model is compiled for one shape, and more windows at once are no faster on a CPU."""
        return 1

    def logits(self, batch: Batch) -> Batch:
        """Returns logits (N, classes, X, Y, Z) of windows (N, 1, X, Y, Z), both float32.

        Raises:
            PredictionError: The model fails on them.
        """
        try:
            if self._compiled is None or self._shape != batch.shape:
                self._model.reshape({self._image: list(batch.shape)})
                self._compiled, self._shape = self._core.compile_model(self._model, "CPU", self.settings), batch.shape
            (found,) = self._compiled([batch]).values()
        except Exception as error:  # whatever a kernel raises
            raise prediction_error("unusable_model", f"the model fails on a window ({type(error).__name__})") from None
        return np.asarray(found, np.float32)


def is_installed() -> bool:
    """Says whether OpenVINO can be imported."""
    from importlib.util import find_spec

    return find_spec("openvino") is not None


@cache
def _core() -> Any:
    """Returns the one core of this process.

    Each core's CPU plugin gives the thread a stack for signals of its own and puts the previous one back when it goes.
    With two cores that go in the order they came, the last one puts back what the first has unmapped, and the next
    Ctrl-C is a segmentation fault (OpenVINO 2026.4).
    """
    return _openvino().Core()


def _openvino() -> Any:
    # OpenVINO loads its usage statistics with itself, and goes without where it does not find them: nothing in a
    # hospital is to call outside, not even if somebody once consented.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError:
        raise prediction_error("no_runtime", "OpenVINO is not installed") from None
    return openvino
