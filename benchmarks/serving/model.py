"""The model that is served, of no package: what reading and verifying one costs is part of the start-up."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT
from fedvoxel.config import parse_config
from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.inference.prediction import Predictor
from fedvoxel.evaluation.inference.session import OnnxRuntime
from fedvoxel.export.description import ModelDescription
from fedvoxel.export.manifest import Manifest
from fedvoxel.export.package import Package
from fedvoxel.export.trust import Signer

NAME = "hippocampus"
AFFINE = np.eye(4)
_LIMIT_MB = 16384


def model_of(onnx: Path, side: int, threads: int) -> Model:
    """Returns a model whose window is the whole image, so that one call of ONNX Runtime is all of its network."""
    values = json.loads((ROOT / "provisioning/models/hippocampus.json").read_text())
    values["structures"] = values["structures"][:1]
    values |= {"name": NAME, "plan": {}, "inference": {"roi_size": (side, side, side)}}
    description = parse_config(ModelDescription, values, "the description")
    nothing = {"sha256": "0" * 64, "size_bytes": 0}
    now = datetime.now(UTC)
    members = {"model.json": nothing, "model.onnx": nothing}
    said = {"name": description.name, "version": description.version, "created": now.isoformat(), "members": members}
    manifest = Manifest.model_construct(**said)
    package = Package(Path(), manifest, "0" * 64, Signer("nobody", "", None, 0), now, description, None)
    runtime = OnnxRuntime(onnx.read_bytes(), {}, threads)
    return Model(package, Predictor(description, runtime, MemoryBound(_LIMIT_MB)))


def image_of(side: int) -> NDArray[np.float32]:
    """Returns noise (side, side, side): how long a network takes does not depend on what it sees."""
    return np.random.default_rng(1).standard_normal((side, side, side), dtype=np.float32)
