"""A real `fedvoxel serve` in a process of its own, and KServe's own clients to ask it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.serving.asked import AFFINE

_ANY_PORT = ("--http-port", "0", "--grpc-port", "0", "--json")


@dataclass(frozen=True)
class Server:
    """Is a server that answers.

    Attributes:
        process: The process.
        rest: Its URL.
        grpc: Its address.
        log: What it writes on standard error.
    """

    process: subprocess.Popen[str]
    rest: str
    grpc: str
    log: Path


def command(*arguments: Any) -> list[str]:
    return [sys.executable, "-m", "fedvoxel.cli.main", "serve", *map(str, arguments)]


@contextmanager
def serving(folder: Path, *arguments: Any) -> Iterator[Server]:
    """Yields a server with these arguments; it is ended when the block is left."""
    log = folder / "server.log"
    with log.open("w") as stream:
        process = subprocess.Popen(command(*arguments, *_ANY_PORT), stdout=subprocess.PIPE, stderr=stream, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        said = json.loads(line)
        yield Server(process, said["rest"], said["grpc"], log)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def request(
    image: NDArray[np.float32],
    *outputs: str,
    affine: NDArray[np.float64] = AFFINE,
    as_bytes: bool = True,
    request_id: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Any:
    """A request as KServe's clients take it."""
    from kserve import InferInput, InferRequest
    from kserve.protocol.infer_type import RequestedOutput

    inputs = []
    for name, values, datatype in (("image", image, "FP32"), ("affine", affine, "FP64")):
        made = InferInput(name, list(values.shape), datatype)
        made.set_data_from_numpy(values, binary_data=as_bytes)
        inputs.append(made)
    wanted = [RequestedOutput(name, {"binary_data": as_bytes}) for name in outputs or ("label", "volumes_ml")]
    said = dict(parameters or {})
    return InferRequest("hippocampus", inputs, request_id=request_id, parameters=said, request_outputs=wanted)


def ask(server: Server, protocol: str, asked: Any) -> Any:
    """Returns the reply that KServe's own client of a protocol has."""
    return asyncio.run(_by_rest(server, asked) if protocol == "rest" else _by_grpc(server, asked))


def refusal(server: Server, protocol: str, asked: Any) -> tuple[str, str]:
    """Returns the status and the text of the error with which a request ends."""
    import grpc
    import httpx

    try:
        ask(server, protocol, asked)
    except httpx.HTTPStatusError as error:
        return str(error.response.status_code), error.response.json()["error"]
    except grpc.aio.AioRpcError as error:
        return error.code().name, str(error.details())
    raise AssertionError("it was answered")


async def _by_rest(server: Server, asked: Any) -> Any:
    from kserve import InferenceRESTClient, RESTConfig

    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=120))
    try:
        return await client.infer(server.rest, asked, model_name="hippocampus")
    finally:
        await client.close()


async def _by_grpc(server: Server, asked: Any) -> Any:
    from kserve import InferenceGRPCClient

    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    client = InferenceGRPCClient(server.grpc, channel_args=unlimited, timeout=120, retries=0)
    try:
        return await client.infer(asked)
    finally:
        await client.close()
