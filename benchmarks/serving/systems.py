"""Ways to have one image segmented, each a function from image to label; and the copy that none can do without."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT
from benchmarks.serving.model import AFFINE, NAME, model_of
from fedvoxel.serving.answer import Answerer
from fedvoxel.serving.question import Question
from fedvoxel.serving.standing import Standing
from fedvoxel.volumes.plan import IntensityPlan, scale_intensity

Image = NDArray[np.float32]
Label = NDArray[np.uint8]
Segment = Callable[[Image], Label]

PLAIN, IN_PROCESS, REST, GRPC, COPY = "ONNX Runtime", "in this process", "REST", "gRPC", "copy"
SYSTEMS = (PLAIN, IN_PROCESS, REST, GRPC, COPY)
_ECHO = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
taken, given = int(sys.argv[1]), bytes(int(sys.argv[2]))
connection, _ = listener.accept()
buffer = memoryview(bytearray(taken))
while True:
    at = 0
    while at < taken:
        got = connection.recv_into(buffer[at:])
        if not got:
            sys.exit(0)
        at += got
    connection.sendall(given)
"""


@contextmanager
def systems(onnx: Path, side: int, threads: int) -> Iterator[dict[str, Segment]]:
    """Yields all of them, ready; the server and the other end of the copy run in processes of their own."""
    with ExitStack() as stack:
        ports = stack.enter_context(_server(onnx, side, threads))
        yield {
            PLAIN: _plain(onnx, threads),
            IN_PROCESS: _in_process(onnx, side, threads),
            REST: stack.enter_context(_rest(ports["rest"])),
            GRPC: stack.enter_context(_grpc(ports["grpc"])),
            COPY: stack.enter_context(_copy(side)),
        }


def _plain(onnx: Path, threads: int) -> Segment:
    """Scales the image, calls the network once, and takes the larger output: nothing else."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def segment(image: Image) -> Label:
        scaled = scale_intensity(image, IntensityPlan())
        (logits,) = session.run(None, {name: scaled[np.newaxis, np.newaxis]})
        return np.asarray(logits[0].argmax(axis=0), np.uint8)

    return segment


def _in_process(onnx: Path, side: int, threads: int) -> Segment:
    answerer = Answerer(model_of(onnx, side, threads), Standing(tuple))

    def segment(image: Image) -> Label:
        question = Question(image[np.newaxis], AFFINE[np.newaxis], is_batch=False, modality="MR", outputs=("label",))
        return np.asarray(answerer.answer(question).tensors["label"])

    return segment


@contextmanager
def _server(onnx: Path, side: int, threads: int) -> Iterator[dict[str, int]]:
    command = [sys.executable, "-m", "benchmarks.serving.served", str(onnx), str(side), str(threads)]
    with _ended(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)) as process:
        yield json.loads(_first_line(process))


@contextmanager
def _rest(port: int) -> Iterator[Segment]:
    """Asks with the protocol's binary extension; KServe's own client makes a Python number of each voxel."""
    import httpx

    url = f"http://127.0.0.1:{port}/v2/models/{NAME}/infer"
    affine = {"affine": ",".join(map(str, AFFINE.ravel())), "modality": "MR"}

    def segment(image: Image) -> Label:
        size = {"binary_data_size": image.nbytes}
        tensor = {"name": "image", "shape": list(image.shape), "datatype": "FP32", "parameters": size}
        wanted = [{"name": "label", "parameters": {"binary_data": True}}]
        text = json.dumps({"inputs": [tensor], "parameters": affine, "outputs": wanted}).encode()
        headers = {"Inference-Header-Content-Length": str(len(text)), "Content-Type": "application/octet-stream"}
        reply = client.post(url, content=b"".join((text, image.tobytes())), headers=headers).raise_for_status()
        raw = memoryview(reply.content)[int(reply.headers["Inference-Header-Content-Length"]) :]
        return np.frombuffer(raw, np.uint8).reshape(image.shape)

    with httpx.Client(timeout=600) as client:
        yield segment


@contextmanager
def _grpc(port: int) -> Iterator[Segment]:
    """Asks with the protocol's own stub, which any language has."""
    import grpc
    from kserve.protocol.grpc.grpc_predict_v2_pb2 import InferParameter, ModelInferRequest
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    said = {"affine": ",".join(map(str, AFFINE.ravel())), "modality": "MR"}
    parameters = {name: InferParameter(string_param=value) for name, value in said.items()}
    unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    tensor, output = ModelInferRequest.InferInputTensor, ModelInferRequest.InferRequestedOutputTensor

    def segment(image: Image) -> Label:
        asked = ModelInferRequest(
            model_name=NAME,
            inputs=[tensor(name="image", datatype="FP32", shape=image.shape)],
            outputs=[output(name="label")],
            parameters=parameters,
            raw_input_contents=[image.tobytes()],
        )
        return np.frombuffer(stub.ModelInfer(asked).raw_output_contents[0], np.uint8).reshape(image.shape)

    with grpc.insecure_channel(f"127.0.0.1:{port}", options=unlimited) as channel:
        stub = GRPCInferenceServiceStub(channel)
        yield segment


@contextmanager
def _copy(side: int) -> Iterator[Segment]:
    """Sends the image's bytes to another process, which sends as many as a label has: what no server can do without."""
    voxels = side**3
    command = [sys.executable, "-c", _ECHO, str(4 * voxels), str(voxels)]
    with ExitStack() as stack:
        process = stack.enter_context(_ended(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)))
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", int(_first_line(process)))))
        buffer, turn = memoryview(bytearray(voxels)), threading.Lock()

        def segment(image: Image) -> Label:
            with turn:
                connection.sendall(image.tobytes())
                at = 0
                while at < voxels:
                    at += connection.recv_into(buffer[at:])
                return np.frombuffer(buffer, np.uint8).reshape(image.shape)

        yield segment


@contextmanager
def _ended(process: "subprocess.Popen[str]") -> Iterator["subprocess.Popen[str]"]:
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def _first_line(process: "subprocess.Popen[str]") -> Any:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise SystemExit("the other process did not start; what it wrote on standard error says why")
    return line
