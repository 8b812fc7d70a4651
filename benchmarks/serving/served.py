"""The server that is measured: python -m benchmarks.serving.served ONNX SIDE THREADS; prints its ports as JSON."""

import json
import sys
from pathlib import Path

from benchmarks.serving.model import model_of
from fedvoxel.serving.answer import Answerer
from fedvoxel.serving.place import Place
from fedvoxel.serving.standing import Standing
from fedvoxel.serving.starting import start_server


def main() -> int:
    """Answers until it is ended."""
    onnx, side, threads = sys.argv[1:]
    answerer = Answerer(model_of(Path(onnx), int(side), int(threads)), Standing(tuple))
    start_server(answerer, Place(http_port=0, grpc_port=0), _say)
    return 0


def _say(rest: int, grpc: int) -> None:
    print(json.dumps({"rest": rest, "grpc": grpc}), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
