"""A package's model, made ready to be used in this process."""

from dataclasses import dataclass
from typing import Literal

from fedvoxel import __version__
from fedvoxel.dicom.result import Algorithm
from fedvoxel.evaluation.inference.memory import MemoryBound
from fedvoxel.evaluation.inference.openvino_session import OpenVinoRuntime, is_installed
from fedvoxel.evaluation.inference.prediction import Predictor
from fedvoxel.evaluation.inference.refusal import prediction_error
from fedvoxel.evaluation.inference.session import OnnxRuntime, Runtime
from fedvoxel.export.calibration import calibration_of
from fedvoxel.export.manifest import ONNX
from fedvoxel.export.package import Package
from fedvoxel.federation.calibration.calibration import Calibration

Choice = Literal["auto", "onnxruntime", "openvino"]
"""What computes a model."""


@dataclass(frozen=True)
class Model:
    """Is a model that was opened from a signed package.

    Attributes:
        package: Where it comes from.
        predictor: What uses it.
        calibration: How far it can be trusted; None where the package does not say.
    """

    package: Package
    predictor: Predictor
    calibration: Calibration | None = None

    @property
    def temperature(self) -> float:
        """Returns what its logits are divided by where its confidence is told: 1 without a calibration."""
        return 1.0 if self.calibration is None else self.calibration.plan.temperature

    @property
    def algorithm(self) -> Algorithm:
        """Returns what identifies it in results."""
        said = self.package.description
        return Algorithm(said.name, said.version, self.package.sha256, __version__)


def open_model(package: Package, bound: MemoryBound, threads: int | None = None, runtime: Choice = "auto") -> Model:
    """Reads a package's ONNX model into memory; nothing else of the package is used but its description.

    Args:
        package: The package, already verified.
        bound: The memory that this process may reach.
        threads: How many threads compute; all cores by default.
        runtime: What computes; "auto" is OpenVINO where it is installed and the model is one file, else ONNX Runtime.

    Raises:
        PackageError: The file is no longer what was verified.
        PredictionError: It is no model that can be used, or the runtime is not installed.
    """
    model = package.member(ONNX)
    weights = f"{ONNX}.data"
    external = {weights: package.member(weights)} if weights in package.names else {}
    chosen: Runtime
    if runtime == "openvino" or (runtime == "auto" and not external and is_installed()):
        if external:
            raise prediction_error("unusable_model", "OpenVINO takes a model in one file, and this one has two")
        chosen = OpenVinoRuntime(model, threads)
    else:
        chosen = OnnxRuntime(model, external, threads)
    return Model(package, Predictor(package.description, chosen, bound), calibration_of(package))
