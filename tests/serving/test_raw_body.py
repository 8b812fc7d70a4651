"""The binary tensor data extension is read as the protocol says, and a body that lies about itself is refused."""

import json
from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import PredictionError
from fedvoxel.serving.raw_body import read_body
from tests.serving.asked import AFFINE, codes_of, image_of

IMAGE = image_of(codes_of())


def body(said: dict[str, Any], *tensors: np.ndarray[Any, Any]) -> tuple[bytes, int]:
    text = json.dumps(said).encode()
    return text + b"".join(one.tobytes() for one in tensors), len(text)


def raw(name: str, values: np.ndarray[Any, Any], datatype: str = "FP32", **changes: Any) -> dict[str, Any]:
    parameters = {"binary_data_size": values.nbytes} | changes.pop("parameters", {})
    return {"name": name, "shape": list(values.shape), "datatype": datatype, "parameters": parameters} | changes


def test_tensors_follow_the_text_whatever_its_length() -> None:
    for padding in range(8):
        inputs = [raw("image", IMAGE, parameters={"modality": "MR"}), raw("affine", AFFINE, "FP64")]
        said = {"id": "x" * padding, "inputs": inputs, "outputs": [{"name": "label"}], "parameters": {"quick": True}}
        found = read_body(*body(said, IMAGE, AFFINE))
        assert found.id == "x" * padding and found.parameters == {"quick": True} and found.outputs == (("label", {}),)
        assert [one.name for one in found.tensors] == ["image", "affine"]
        for tensor, values in zip(found.tensors, (IMAGE, AFFINE), strict=True):
            np.testing.assert_array_equal(tensor.values, values)
            assert tensor.values.dtype == values.dtype and tensor.values.flags.aligned
        assert found.tensors[0].parameters["modality"] == "MR"


def test_a_small_tensor_may_stay_in_the_text() -> None:
    affine = {"name": "affine", "shape": [4, 4], "datatype": "FP64", "data": AFFINE.ravel().tolist()}
    found = read_body(*body({"inputs": [affine, raw("image", IMAGE)]}, IMAGE))
    np.testing.assert_array_equal(found.tensors[0].values, AFFINE)
    np.testing.assert_array_equal(found.tensors[1].values, IMAGE)
    assert found.id is None and found.outputs == ()


GOOD = raw("image", IMAGE)


@pytest.mark.parametrize(
    "said",
    [
        [],
        {},
        {"inputs": 5},
        {"inputs": [5]},
        {"inputs": [{"name": "image"}]},
        {"inputs": [GOOD | {"shape": [-1, 28, 22]}]},
        {"inputs": [GOOD | {"shape": "20"}]},
        {"inputs": [GOOD | {"shape": [20.0, 28, 22]}]},
        {"inputs": [GOOD | {"shape": [10**9, 10**9, 10**9]}]},
        {"inputs": [GOOD | {"shape": [19, 28, 22]}]},
        {"inputs": [GOOD | {"datatype": "BYTES"}]},
        {"inputs": [GOOD | {"parameters": {"binary_data_size": 8}}]},
        {"inputs": [GOOD | {"parameters": {"binary_data_size": -1}}]},
        {"inputs": [GOOD | {"parameters": []}, GOOD]},
        {"inputs": [GOOD, GOOD]},
        {"inputs": []},
        {"inputs": [GOOD], "outputs": 5},
        {"inputs": [GOOD], "parameters": 5},
        {"inputs": [{"name": "image", "shape": [2], "datatype": "FP32", "data": ["a", "b"]}]},
        {"inputs": [{"name": "image", "shape": [2], "datatype": "FP32", "data": [[1], [2, 3]]}]},
    ],
)
def test_what_is_not_as_it_says_is_refused(said: Any) -> None:
    with pytest.raises(PredictionError) as refused:
        read_body(*body(said, IMAGE))
    assert refused.value.reason == "malformed_request"


@pytest.mark.parametrize("length", [0, -1, 10, 10**9])
def test_a_wrong_length_of_the_text_is_refused(length: int) -> None:
    content, _ = body({"inputs": [GOOD]}, IMAGE)
    with pytest.raises(PredictionError, match="expected"):
        read_body(content, length)


def test_a_text_nested_without_end_is_refused() -> None:
    text = b'{"inputs":' + b"[" * 200_000
    with pytest.raises(PredictionError, match="expected a request"):
        read_body(text, len(text))
