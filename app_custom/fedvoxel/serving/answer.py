"""What a model says to a request: the label map of each image on its own grid, volumes, and what else was asked for.

The images of a request are taken one after the other, each as `fedvoxel predict` takes a file, and within the same
bound of memory; the windows of one image are computed together, as many as fit. Images are not mixed in a batch:
windows of one image fill the processor already, so that mixing would only let the first result wait for the last.
If one image is refused there is no result of the others either: a reply has no place for half an answer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.dicom.result import RESEARCH, Finding
from fedvoxel.evaluation.inference.judging import ENTROPY, Judged, judge
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.inference.suitability import ImageFacts, known_body_part, remarks_on
from fedvoxel.evaluation.reading.doubt import doubt_of
from fedvoxel.serving.question import Output, Question
from fedvoxel.serving.standing import Standing
from fedvoxel.volumes.restoring import values_on_original
from fedvoxel.volumes.volume import Volume

DATATYPES: dict[Output, str] = {"label": "UINT8", "volumes_ml": "FP64", "probabilities": "FP32", "entropy": "FP32"}
_FLOAT_BYTES = 4


@dataclass(frozen=True, eq=False)
class Answer:
    """Is what a reply holds.

    Attributes:
        tensors: By name, in the order in which they were asked for; see `Answerer` for shapes.
        results: For each image what is said beside its tensors, as JSON has it.
    """

    tensors: dict[Output, NDArray[Any]]
    results: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Answerer:
    """Uses one model for all who ask.

    The tensors of an answer, each with a leading axis N where several images were sent:
    `label` uint8 (X, Y, Z), 0 background, 1 + i the structure i; `volumes_ml` float64 (structures); `probabilities`
    float32 (classes, X, Y, Z), the background's first; `entropy` float32 (X, Y, Z), 0 to 1, calibrated where the
    model is. All of them are on the voxels of the image that was sent.

    Attributes:
        model: The model.
        standing: Whether its package may be used, and what a reader of every result must know.
    """

    model: Model
    standing: Standing

    def answer(self, question: Question) -> Answer:
        """Finds the structures in the images of a request.

        Raises:
            GeometryError: An image is no volume that can be trusted.
            PredictionError: It is not for this model, does not fit into memory, or the model fails.
            PackageError: The package was withdrawn since, or nobody knows.
        """
        remarks = self.standing.remarks()
        self._require_room(question)
        found = []
        for image, affine in zip(question.images, question.affines, strict=True):
            self.model.predictor.bound.require_preparing(image.shape)
            found.append(self._one(Volume(image, affine), question, remarks))
        tensors = {name: _joined([one[name] for one, _ in found], question.is_batch) for name in question.outputs}
        return Answer(tensors, tuple(said for _, said in found))

    def about(self) -> dict[str, Any]:
        """Returns what every reply says of the model, as JSON has it."""
        package = self.model.package
        return {
            "use": RESEARCH,
            "name": package.description.name,
            "version": package.description.version,
            "package_sha256": package.sha256,
            "signed_by": str(package.signed_by),
            "fedvoxel": self.model.algorithm.software_version,
            "runtime": self.model.predictor.runtime.name,
        }

    def _one(
        self, volume: Volume, question: Question, standing: tuple[str, ...]
    ) -> tuple[dict[Output, NDArray[Any]], dict[str, Any]]:
        predictor = self.model.predictor
        facts = ImageFacts.of(question.modality, known_body_part(question.body_part), volume.shape, volume.affine)
        remarks = (*standing, *remarks_on(facts, predictor.description.input))
        judged = judge(self.model, predictor.predict(volume), views=not question.quick)
        said = {
            "structures": [_structure(finding) for finding in judged.findings],
            "remarks": [*remarks, *judged.remarks],
            "assessment": judged.as_json(),
        }
        return {name: _tensor(name, judged) for name in question.outputs}, said

    def _require_room(self, question: Question) -> None:
        """Refuses what could not be kept until the reply is sent."""
        classes = self.model.predictor.description.channels
        voxel_bytes = {"label": 1, "probabilities": _FLOAT_BYTES * classes, "entropy": _FLOAT_BYTES}
        each = sum(voxel_bytes.get(name, 0) for name in question.outputs)
        # Twice: what is found, and its copy on the way out.
        self.model.predictor.bound.require(2 * each * math.prod(question.images.shape), "the reply")


def _tensor(name: Output, judged: Judged) -> NDArray[Any]:
    prediction = judged.prediction
    if name == "label":
        return prediction.label
    if name == "volumes_ml":
        return np.array([finding.volume_ml for finding in judged.findings], np.float64)
    if name == "probabilities":
        return np.stack([values_on_original(one, prediction.prepared) for one in prediction.probabilities])
    calibrated = judged.maps().get(ENTROPY)
    return (
        values_on_original(doubt_of(prediction.probabilities), prediction.prepared)
        if calibrated is None
        else calibrated
    )


def _structure(finding: Finding) -> dict[str, Any]:
    interval = finding.interval
    return {
        "code": finding.code,
        "label": finding.label,
        "volume_ml": finding.volume_ml,
        "interval_ml": None if interval is None else [interval.low_ml, interval.high_ml],
        "interval_coverage": None if interval is None else interval.coverage,
    }


def _joined(found: Sequence[NDArray[Any]], is_batch: bool) -> NDArray[Any]:
    return np.stack(found) if is_batch else found[0]
