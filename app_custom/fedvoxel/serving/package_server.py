"""KServe's model server with one package's model; imported only where `kserve` is installed.

Other than KServe's own it listens where it is told to and not on all addresses, takes no body that the bound of memory
has no room for, has no door but that of the protocol's version 2, and writes no traceback, no address and no request's
identifier into a log: a client may have put a patient's into it.
"""

import asyncio
import logging
import socket
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from grpc import StatusCode, aio
from kserve import ModelServer, errors
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.server import RESTServer, metrics_handler
from kserve.protocol.rest.v2_endpoints import register_v2_endpoints

from fedvoxel.evaluation.inference.memory import MIB
from fedvoxel.serving.answer import Answerer
from fedvoxel.serving.body_gate import BYTES_PER_BOUND, BodyGate
from fedvoxel.serving.data_plane import OneModel, PackageDataPlane
from fedvoxel.serving.package_model import PackageModel
from fedvoxel.serving.place import Place
from fedvoxel.serving.refusal import malformed, refusal_of

_GRACE_S = 5
_MOST_CALLS = 8
"""Of gRPC at a time; each may hold a message."""

_CODES: dict[type[Exception], tuple[HTTPStatus, StatusCode]] = {
    errors.InvalidInput: (HTTPStatus.BAD_REQUEST, StatusCode.INVALID_ARGUMENT),
    errors.ModelNotFound: (HTTPStatus.NOT_FOUND, StatusCode.NOT_FOUND),
    errors.ModelNotReady: (HTTPStatus.SERVICE_UNAVAILABLE, StatusCode.UNAVAILABLE),
    errors.ServerNotReady: (HTTPStatus.SERVICE_UNAVAILABLE, StatusCode.UNAVAILABLE),
    NotImplementedError: (HTTPStatus.NOT_IMPLEMENTED, StatusCode.UNIMPLEMENTED),
    errors.InferenceError: (HTTPStatus.INTERNAL_SERVER_ERROR, StatusCode.INTERNAL),
}

OnReady = Callable[[int, int], None]
"""Is told the ports of REST and gRPC when both answer."""


@dataclass(frozen=True)
class Doors:
    """Is where and how much is taken in.

    Attributes:
        place: The address and the ports.
        listener: Listens for REST already.
        most_bytes: Of a request.
    """

    place: Place
    listener: socket.socket
    most_bytes: int


def serve(answerer: Answerer, place: Place, listener: socket.socket, on_ready: OnReady) -> None:
    """Answers until the process is interrupted or asked to end."""
    # Both write a traceback where they meet an error that nobody expected, and its text may quote the request.
    for name in ("uvicorn.error", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    # Of FastAPI to KServe; nobody who starts a server can do anything about it.
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")
    most_bytes = answerer.model.predictor.bound.limit_mb * MIB // BYTES_PER_BOUND
    server = PackageServer(Doors(place, listener, most_bytes), on_ready)
    server.start([PackageModel(answerer)])


class PackageServer(ModelServer):
    """Runs both doors in one process."""

    def __init__(self, doors: Doors, on_ready: OnReady) -> None:
        """Opens nothing yet."""
        super().__init__(
            http_port=doors.listener.getsockname()[1],
            grpc_port=doors.place.grpc_port,
            grace_period=_GRACE_S,
            enable_latency_logging=False,
            ssl_certfile=None,
            ssl_keyfile=None,
        )
        self.dataplane = PackageDataPlane(model_registry=self.registered_models)
        self.model_repository_extension = OneModel(model_registry=self.registered_models)
        self._doors, self._on_ready = doors, on_ready

    def start(self, models: list[PackageModel]) -> None:
        """Answers until it is asked to end."""
        for model in models:
            self.register_model(model)
        rest = _Rest(self.dataplane, self.model_repository_extension, self._doors)
        self._grpc_server = _Grpc(self.dataplane, self.model_repository_extension, self._doors)
        ready = partial(self._on_ready, self.http_port)
        self.servers = [rest.start(), self._grpc_server.start(ready)]
        self.register_signal_handler()
        asyncio.run(self._serve())


class _Rest(RESTServer):
    def __init__(self, data_plane: PackageDataPlane, extension: OneModel, doors: Doors) -> None:
        port = doors.listener.getsockname()[1]
        super().__init__("kserve.model_server:app", data_plane, extension, port, grace_period=_GRACE_S)
        self._doors = doors
        self.config.host = doors.place.address
        self.config.access_log = self.config.server_header = self.config.proxy_headers = False

    def _register_endpoints(self, app: FastAPI) -> None:
        router = APIRouter()
        router.add_api_route("/metrics", metrics_handler, methods=["GET"])
        app.include_router(router)
        register_v2_endpoints(app, self.dataplane, self.model_repository_extension)

    def _add_exception_handlers(self, app: FastAPI) -> None:
        for kind, (status, _) in _CODES.items():
            app.add_exception_handler(kind, partial(_said, status))
        app.add_exception_handler(RequestValidationError, _not_in_order)
        app.add_exception_handler(Exception, _unexpected)

    def _add_middlewares(self, app: FastAPI) -> None:
        app.add_middleware(BodyGate, most_bytes=self._doors.most_bytes)

    async def start(self) -> None:
        self.create_application()
        await self._server.serve(sockets=[self._doors.listener])


class _Grpc:
    def __init__(self, data_plane: PackageDataPlane, extension: OneModel, doors: Doors) -> None:
        self._servicer, self._doors = InferenceServicer(data_plane, extension), doors
        self._server: Any = None

    async def start(self, on_ready: Callable[[int], None]) -> None:
        most = self._doors.most_bytes
        self._server = aio.server(
            ThreadPoolExecutor(1),
            interceptors=(_Quiet(),),
            maximum_concurrent_rpcs=_MOST_CALLS,
            options=[
                ("grpc.max_send_message_length", -1),
                ("grpc.max_receive_message_length", most),
                # Else a second server could share the port, and take every other request.
                ("grpc.so_reuseport", 0),
            ],
        )
        grpc_predict_v2_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self._servicer, self._server)
        port = self._server.add_insecure_port(self._doors.place.at(self._doors.place.grpc_port))
        await self._server.start()
        on_ready(port)
        await self._server.wait_for_termination()

    async def stop(self, signal: int | None = None) -> None:
        if self._server is not None:
            await self._server.stop(grace=_GRACE_S)


class _Quiet(ExceptionToStatusInterceptor):
    async def handle_exception(self, ex: Exception, request_or_iterator: Any, context: Any, method_name: str) -> None:
        for kind, (_, code) in _CODES.items():
            if isinstance(ex, kind):
                await context.abort(code, str(ex))
        await context.abort(StatusCode.INTERNAL, refusal_of(ex).text)


async def _said(status: HTTPStatus, _: Any, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status)


async def _not_in_order(_: Any, error: Exception) -> JSONResponse:
    """Says so; FastAPI's own answer would hold the image once more."""
    found = malformed("expected a request of the Open Inference Protocol v2, got something else")
    return JSONResponse({"error": refusal_of(found).text}, HTTPStatus.BAD_REQUEST)


async def _unexpected(_: Any, error: Exception) -> JSONResponse:
    return JSONResponse({"error": refusal_of(error).text}, HTTPStatus.INTERNAL_SERVER_ERROR)
