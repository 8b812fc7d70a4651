"""A model is read from bytes, its weights too where they are a file of their own; what is none is refused."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fedvoxel.errors import PredictionError
from fedvoxel.evaluation.inference.openvino_session import OpenVinoRuntime
from fedvoxel.evaluation.inference.session import OnnxRuntime, usable_cores
from tests.export.package_sample import bright_onnx

BATCH = np.random.default_rng(0).normal(size=(2, 1, 5, 6, 4)).astype(np.float32)


def with_external_weights(content: bytes) -> tuple[bytes, bytes]:
    """The same model with its weights in `model.onnx.data`."""
    model, data = onnx.load_from_string(content), b""
    for tensor in model.graph.initializer:
        raw = numpy_helper.to_array(tensor).tobytes()
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        where = {"location": "model.onnx.data", "offset": str(len(data)), "length": str(len(raw))}
        for key, value in where.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        data += raw
    return model.SerializeToString(), data


def test_the_model_computes() -> None:
    found = OnnxRuntime(bright_onnx(3), {}).logits(BATCH)
    expected = np.concatenate([8 * k * BATCH - 4 * k * k for k in range(3)], axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32


def test_weights_in_a_file_of_their_own_never_touch_the_disk() -> None:
    model, weights = with_external_weights(bright_onnx(3))
    inside = OnnxRuntime(bright_onnx(3), {})
    outside = OnnxRuntime(model, {"model.onnx.data": weights}, threads=1)
    np.testing.assert_array_equal(inside.logits(BATCH), outside.logits(BATCH))
    with pytest.raises(PredictionError):
        OnnxRuntime(model, {})


def test_openvino_computes_the_same_one_window_at_a_time() -> None:
    runtime = OpenVinoRuntime(bright_onnx(3), threads=1)
    assert runtime.largest_batch == 1 and runtime.name.startswith("OpenVINO ")
    for size in (4, 6):  # another shape is compiled anew
        batch = BATCH[:1, :, :4, :size]
        np.testing.assert_allclose(runtime.logits(batch), OnnxRuntime(bright_onnx(3), {}).logits(batch), atol=1e-5)


def test_openvino_computes_in_float32_whatever_the_processor_could() -> None:
    """bfloat16 has eight bits: 1.00390625 would become 1."""
    batch = np.full((1, 1, 16, 16, 16), 1.00390625, np.float32)
    assert np.unique(OpenVinoRuntime(bright_onnx(2), 1).logits(batch)[:, 1]).tolist() == [4.03125]


INTERRUPTED = """
import faulthandler, signal, sys
import numpy as np
from fedvoxel.evaluation.inference.openvino_session import OpenVinoRuntime
faulthandler.enable()  # its handlers, and so Python's, run on a stack of their own
model = sys.stdin.buffer.read()
first, second = OpenVinoRuntime(model, 1), OpenVinoRuntime(model, 1)
for runtime in (first, second):
    runtime.logits(np.zeros((1, 1, 4, 4, 4), np.float32))
del runtime, first
del second
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_after_two_models_is_no_crash() -> None:
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], input=bright_onnx(2), capture_output=True, check=False)
    assert (run.returncode, run.stdout) == (0, b"interrupted\n"), run.stderr.decode()


@pytest.mark.parametrize("content", [b"", b"not a model", bright_onnx(2)[:60]])
def test_what_is_no_model_openvino_refuses_too(content: bytes) -> None:
    with pytest.raises(PredictionError) as caught:
        OpenVinoRuntime(content)
    assert caught.value.reason == "unusable_model" and "not a model" not in str(caught.value)


def test_it_takes_any_number_of_windows_where_the_model_does() -> None:
    assert OnnxRuntime(bright_onnx(2), {}).largest_batch is None
    assert "ONNX Runtime" in OnnxRuntime(bright_onnx(2), {}).name
    assert usable_cores() >= 1


@pytest.mark.parametrize("content", [b"", b"not a model", bright_onnx(2)[:60]])
def test_what_is_no_model_is_refused_without_its_text(content: bytes) -> None:
    with pytest.raises(PredictionError) as caught:
        OnnxRuntime(content, {})
    assert caught.value.reason == "unusable_model" and "not a model" not in str(caught.value)


def test_windows_that_the_model_cannot_take_are_refused() -> None:
    with pytest.raises(PredictionError) as caught:
        OnnxRuntime(bright_onnx(2), {}).logits(np.zeros((1, 2, 4, 4, 4), np.float32))
    assert caught.value.reason == "unusable_model"
