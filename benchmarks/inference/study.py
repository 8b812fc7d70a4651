"""From a DICOM folder to a segmentation on the disk, as `fedvoxel predict` does it, with an untrained network."""

import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from fedvoxel.config import parse_config
from fedvoxel.dicom.series import find_series
from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.inference.openvino_session import OpenVinoRuntime
from fedvoxel.evaluation.inference.prediction import Predictor
from fedvoxel.evaluation.inference.run import Job, predict_study
from fedvoxel.evaluation.inference.study import studies_in
from fedvoxel.export.description import ModelDescription
from fedvoxel.export.manifest import Manifest
from fedvoxel.export.package import Package
from fedvoxel.export.trust import Signer

RUNS = 5


def study_seconds(study: Path, network: str, folder: Path) -> dict[str, Any]:
    """Returns the wall seconds of each run, and the seconds that reading the model took before."""
    started = time.perf_counter()
    model = _model((folder / f"{network}.onnx").read_bytes())
    start_s = time.perf_counter() - started
    seconds = []
    with tempfile.TemporaryDirectory() as out:
        for _ in range(RUNS):
            started = time.perf_counter()
            (found,) = studies_in(find_series(study))
            predict_study(found, Job(model, Path(out)))
            seconds.append(time.perf_counter() - started)
    return {"seconds": seconds, "start_s": start_s}


def _model(onnx: bytes) -> Model:
    """A model that no package holds: what reading and verifying one costs is part of the start-up."""
    values = json.loads((ROOT / "provisioning/models/hippocampus.json").read_text())
    values["structures"] = values["structures"][:1]
    values |= {"plan": {}, "inference": {"roi_size": (48, 64, 48)}}
    description = parse_config(ModelDescription, values, "the description")
    nothing = {"sha256": "0" * 64, "size_bytes": 0}
    now = datetime.now(UTC)
    members = {"model.json": nothing, "model.onnx": nothing}
    said = {"name": description.name, "version": description.version, "created": now.isoformat(), "members": members}
    manifest = Manifest.model_construct(**said)
    package = Package(Path(), manifest, "0" * 64, Signer("nobody", "", None, 0), now, description, None)
    return Model(package, Predictor(description, OpenVinoRuntime(onnx), MemoryBound(4096)))
