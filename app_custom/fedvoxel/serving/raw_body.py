"""Reads the body of a request whose tensors follow its JSON as bytes, without a Python number for each voxel.

Source: Open Inference Protocol v2, binary tensor data extension (`Inference-Header-Content-Length`,
`binary_data_size`).
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.serving.question import Tensor
from fedvoxel.serving.refusal import malformed

_TYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "FP64": np.dtype("<f8")}
_MOST_JSON_BYTES = 1024**2


@dataclass(frozen=True)
class RawBody:
    """Is a request as its body says it.

    Attributes:
        id: What the client calls it; None where it does not.
        tensors: The inputs.
        parameters: Those of the request.
        outputs: What it wants: (name, parameters); none where it does not say.
    """

    id: str | None
    tensors: tuple[Tensor, ...]
    parameters: dict[str, Any]
    outputs: tuple[tuple[str, dict[str, Any]], ...]


def read_body(body: bytes, json_bytes: int) -> RawBody:
    """Returns what a body says.

    Args:
        body: JSON, then the tensors' bytes one after the other, little-endian.
        json_bytes: How long the JSON is.

    Raises:
        PredictionError: malformed_request.
    """
    if not 0 < json_bytes <= min(len(body), _MOST_JSON_BYTES):
        raise malformed("expected Inference-Header-Content-Length to be the length of the JSON, got another number")
    try:
        said = json.loads(body[:json_bytes])
        inputs, rest = said["inputs"], memoryview(body)[json_bytes:]
        tensors = []
        for one in inputs:
            tensor, size = _tensor(one, rest)
            tensors.append(tensor)
            rest = rest[size:]
        outputs = tuple((str(one["name"]), dict(one.get("parameters") or {})) for one in said.get("outputs") or ())
        known = None if said.get("id") is None else str(said["id"])
        parameters = dict(said.get("parameters") or {})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise malformed("expected a request of the Open Inference Protocol v2, got something else") from None
    if len(rest):
        raise malformed(f"expected no bytes after the last tensor, got {len(rest)}")
    return RawBody(known, tuple(tensors), parameters, outputs)


def _tensor(said: dict[str, Any], rest: memoryview) -> tuple[Tensor, int]:
    """Returns an input, and how many bytes of `rest` are its own."""
    datatype, shape, parameters = str(said["datatype"]), _shape(said["shape"]), dict(said.get("parameters") or {})
    if datatype not in _TYPES:
        raise malformed(f"expected inputs of {' or '.join(_TYPES)}, got another datatype")
    size = parameters.get("binary_data_size")
    if size is None:
        values: NDArray[Any] = np.array(said["data"], _TYPES[datatype]).reshape(shape)
        return Tensor(str(said["name"]), datatype, values, parameters), 0
    expected = _TYPES[datatype].itemsize * math.prod(shape)
    if size != expected or len(rest) < expected:
        raise malformed("expected as many bytes of a tensor as its shape says, got another number")
    # Bytes that follow a text rarely begin where a number may: then this copies them, once.
    values = np.require(np.frombuffer(rest[:expected], _TYPES[datatype]), requirements="A").reshape(shape)
    return Tensor(str(said["name"]), datatype, values, parameters), expected


def _shape(said: Any) -> tuple[int, ...]:
    if not (isinstance(said, list) and all(type(length) is int and length >= 0 for length in said)):
        raise malformed("expected a shape as a list of whole numbers, got something else")
    return tuple(said)
