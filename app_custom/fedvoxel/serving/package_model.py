"""The package's model as KServe calls it; imported only where `kserve` is installed."""

import asyncio
import json
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from kserve import InferInput, InferOutput, InferRequest, InferResponse, Model
from kserve.errors import InferenceError, InvalidInput
from kserve.protocol.infer_type import to_http_parameters
from prometheus_client import Counter

from fedvoxel.serving.answer import DATATYPES, Answer, Answerer
from fedvoxel.serving.question import AFFINE, IMAGE, OUTPUTS, Question, Tensor, question_of
from fedvoxel.serving.refusal import malformed, refusal_of

MOST_JSON_VOXELS = 2**21
"""Whose label map is sent as JSON, number by number; above, a client has to ask for bytes."""
_FREE = -1


class PackageModel(Model):
    """Answers one request at a time: one image keeps all cores busy, and the bound of memory is the process's own.

    Others wait meanwhile, and health and metrics are answered. How many may wait is the server's matter.
    """

    def __init__(self, answerer: Answerer) -> None:
        """Is ready at once: the model was loaded before."""
        super().__init__(answerer.model.package.description.name)
        self.ready = True
        self._answerer = answerer
        self._about = json.dumps(answerer.about())
        self._one = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._refused = Counter("fedvoxel_refused", "Requests without a result, by reason", ["reason"])
        self._images = Counter("fedvoxel_images", "Images with a result")

    async def get_input_types(self) -> list[dict[str, Any]]:
        """Returns what a request holds, in the protocol's words."""
        return [
            {"name": IMAGE, "datatype": "FP32", "shape": [_FREE, _FREE, _FREE]},
            {"name": AFFINE, "datatype": "FP64", "shape": [4, 4]},
        ]

    async def get_output_types(self) -> list[dict[str, Any]]:
        """Returns what a reply can hold."""
        classes = self._answerer.model.predictor.description.channels
        shapes = {"volumes_ml": [classes - 1], "probabilities": [classes, _FREE, _FREE, _FREE]}
        return [
            {"name": name, "datatype": DATATYPES[name], "shape": shapes.get(name, [_FREE, _FREE, _FREE])}
            for name in OUTPUTS
        ]

    async def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        """Answers a request.

        Raises:
            InvalidInput: The request is not in order, or the image not one that the model can be used on: a 4xx error.
            InferenceError: The model or this program fails: a 5xx error.
        """
        try:
            question = _question(payload)
            answer = await asyncio.get_running_loop().run_in_executor(self._one, self._answerer.answer, question)
        except Exception as error:  # whatever it is, the client is told no more than its kind
            refusal = refusal_of(error)
            self._refused.labels(refusal.reason).inc()
            raise (InvalidInput if refusal.is_clients else InferenceError)(refusal.text) from None
        self._images.inc(len(answer.results))
        return self._reply(payload, answer)

    def _reply(self, payload: InferRequest, answer: Answer) -> InferResponse:
        tensors = [
            InferOutput(name=name, shape=list(values.shape), datatype=DATATYPES[name], data=values)
            for name, values in answer.tensors.items()
        ]
        if payload.from_grpc:
            for tensor in tensors:  # KServe 0.21 asks whether an array is true before it sends one by gRPC
                tensor.set_data_from_numpy(tensor.data, binary_data=True)
        return InferResponse(
            response_id=payload.id or str(uuid.uuid4()),
            model_name=self.name,
            infer_outputs=tensors,
            parameters={"model": self._about, "results": json.dumps(answer.results, allow_nan=False)},
            requested_outputs=payload.request_outputs,
            use_binary_outputs=payload.use_binary_outputs,
        )


def _question(payload: Any) -> Question:
    if not isinstance(payload, InferRequest):
        raise malformed("expected a request of the Open Inference Protocol v2, got one of another protocol")
    tensors = [_tensor(one) for one in payload.inputs]
    wanted = [one.name for one in payload.request_outputs or ()]
    question = question_of(tensors, _parameters(payload.parameters), wanted)
    _require_bytes(payload, question)
    return question


def _tensor(one: InferInput) -> Tensor:
    try:
        # An array is one that `data_plane` has read.
        values = one.data if isinstance(one.data, np.ndarray) else one.as_numpy()
    except (InvalidInput, ValueError, TypeError, OverflowError):
        raise malformed("expected as many numbers in a tensor as its shape says, got something else") from None
    return Tensor(one.name, one.datatype, values, _parameters(one.parameters))


def _parameters(said: Mapping[str, Any] | None) -> dict[str, Any]:
    return dict(to_http_parameters(said)) if said else {}


def _require_bytes(payload: InferRequest, question: Question) -> None:
    """Refuses a reply as JSON that would keep the server from answering others for seconds."""
    if payload.from_grpc or question.images.size <= MOST_JSON_VOXELS:
        return
    asked = {one.name: one.binary_data for one in payload.request_outputs or ()}
    as_bytes = {name: asked[name] if asked else payload.use_binary_outputs for name in question.outputs}
    if not all(as_bytes[name] for name in question.outputs if name != "volumes_ml"):
        raise malformed(
            f"expected the results of more than {MOST_JSON_VOXELS} voxels to be asked for as bytes: binary_data of "
            "each output, or binary_data_output of the request"
        )
