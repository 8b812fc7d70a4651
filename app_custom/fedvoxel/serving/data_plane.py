"""How KServe takes requests apart and what it says of itself; imported only where `kserve` is installed."""

from typing import Any

from kserve import InferInput, InferRequest
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
from kserve.errors import InvalidInput
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.infer_type import RequestedOutput
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from fedvoxel import __version__
from fedvoxel.errors import PredictionError
from fedvoxel.serving.raw_body import read_body
from fedvoxel.serving.refusal import malformed, refusal_of


class PackageDataPlane(DataPlane):
    """Keeps the bytes of a tensor as they are, where KServe's own makes a Python number of each voxel."""

    def metadata(self) -> dict[str, Any]:
        """Returns what the server says of itself."""
        return {"name": "fedvoxel", "version": __version__, "extensions": ["binary_tensor_data"]}

    def decode_inference_request(self, body: Any, headers: dict[str, str], model_name: str) -> InferRequest:
        """Returns the request that a body holds.

        Raises:
            InvalidInput: It is not in order.
        """
        if not isinstance(body, bytes):
            return super().decode_inference_request(body, headers, model_name)
        try:
            return _request(body, headers.get(INFERENCE_CONTENT_LENGTH_HEADER, ""), model_name)
        except PredictionError as error:
            raise InvalidInput(refusal_of(error).text) from None


class OneModel(ModelRepositoryExtension):
    """Serves the model that was verified at the start, and lets nobody load another or take it away."""

    async def load(self, model_name: str) -> None:
        """Refuses.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("the server has the one model that it was started with")

    unload = load


def _request(body: bytes, length: str, model_name: str) -> InferRequest:
    if not (length.isascii() and length.isdigit() and len(length) < 16):
        raise malformed("expected Inference-Header-Content-Length as a number, got none")
    said = read_body(body, int(length))
    inputs = [
        InferInput(one.name, list(one.values.shape), one.datatype, data=one.values, parameters=dict(one.parameters))
        for one in said.tensors
    ]
    outputs = [RequestedOutput(name, parameters) for name, parameters in said.outputs]
    return InferRequest(
        model_name, inputs, request_id=said.id, parameters=said.parameters, request_outputs=outputs or None
    )
