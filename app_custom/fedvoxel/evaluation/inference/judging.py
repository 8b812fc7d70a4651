"""Puts what a model's calibration says of a result beside what was found: in numbers, in words, and as maps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.dicom.result import Concept, Finding, Judgement, Number
from fedvoxel.errors import PredictionError
from fedvoxel.evaluation.inference.model import Model
from fedvoxel.evaluation.inference.objects import findings_of
from fedvoxel.evaluation.inference.prediction import Prediction
from fedvoxel.evaluation.uncertainty.assessment import DOUBTFUL_DICE, Assessment, Subject, Trust, Verdict, assess
from fedvoxel.evaluation.uncertainty.examination import Progress
from fedvoxel.evaluation.uncertainty.occlusion import Effort, explain
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.limits import limits_of
from fedvoxel.volumes.restoring import values_on_original
from fedvoxel.volumes.volume import spacing_of

ENTROPY, DISAGREEMENT, CONFIDENCE = "entropy.nii.gz", "disagreement.nii.gz", "confidence.nii.gz"

_FLOAT_BYTES = 4
_MAPS_AT_ONCE = 6

_OURS = "99FEDVOXEL"
_DICE = Concept(_OURS, "FV-DICE", "Estimated Dice coefficient")
_CONFIDENCE = Concept(_OURS, "FV-CONFIDENCE", "Mean calibrated probability")
_LIKENESS = Concept(_OURS, "FV-LIKENESS", "Likeness to training images")
_QUALITY = Concept(_OURS, "FV-QUALITY", "Estimated quality of segmentation")
_VERDICTS: dict[Verdict, Concept] = {
    "alike": Concept(_OURS, "FV-ALIKE", "Like the training images"),
    "unusual": Concept(_OURS, "FV-UNUSUAL", "Unusual"),
}
_PLAIN = Concept(_OURS, "FV-NOT-DOUBTFUL", "Not doubtful")
_DOUBTFUL = Concept(_OURS, "FV-DOUBTFUL", "Doubtful")


@dataclass(frozen=True, eq=False)
class Judged:
    """Is a result with what is known of its reliability.

    Attributes:
        prediction: The result.
        findings: The structures, with intervals, numbers and judgements where the model is calibrated.
        remarks: What a reader must know, one sentence each.
        calibration: The model's.
        assessment: Of this result; None where the model has no calibration.
    """

    prediction: Prediction
    findings: tuple[Finding, ...]
    remarks: tuple[str, ...] = ()
    calibration: Calibration | None = None
    assessment: Assessment | None = None

    def maps(self) -> dict[str, NDArray[np.float32]]:
        """Returns maps on the original grid, each 0 to 1: entropy, views' disagreement, calibrated confidence."""
        if self.assessment is None or self.assessment.found is None:
            return {}
        found, prepared = self.assessment.found, self.prediction.prepared
        confidence = found.probabilities.max(axis=0)
        named = {ENTROPY: found.entropy, DISAGREEMENT: found.disagreement, CONFIDENCE: confidence}
        return {name: values_on_original(values, prepared) for name, values in named.items()}

    def as_json(self) -> dict[str, Any] | None:
        """Returns what a result's summary says of its reliability."""
        if self.assessment is None or self.calibration is None:
            return None
        limits = limits_of(self.calibration.distances)
        return {
            "verdict": self.assessment.verdict,
            "distance": self.assessment.likeness.distance,
            "unusual_above": limits.warn,
            "refused_above": limits.refuse,
            "calibration_patients": self.calibration.patients,
            "calibration_hospitals": self.calibration.hospitals,
            "structures": {
                finding.label: {
                    "confidence": trust.confidence,
                    "estimated_dice": trust.dice,
                    "estimated_dice_error": trust.dice_error,
                }
                for finding, trust in zip(self.findings, self.assessment.trust.values(), strict=True)
            },
        }


def judge(model: Model, prediction: Prediction, views: bool, progress: Progress | None = None) -> Judged:
    """Says how far a result can be trusted; nothing, where the model came without a calibration.

    Args:
        model: What made it.
        prediction: The result.
        views: Whether to ask the model about changed copies of the image too.
        progress: Is told (views done, views).

    Raises:
        PredictionError: unlike_training; the image is nothing that the model was trained on.
    """
    plain = findings_of(model.predictor.description, prediction)
    calibration = model.calibration
    if calibration is None:
        return Judged(prediction, plain)
    subject = Subject(
        image=prediction.prepared.image,
        spacing_mm=spacing_of(prediction.prepared.affine),
        probabilities=prediction.probabilities,
        volumes_ml=[finding.volume_ml for finding in plain],
        labels=[finding.label for finding in plain],
    )
    fits = views and _fits(model, prediction)
    assessed = assess(subject, calibration, model.predictor.window if fits else None, progress)
    findings = tuple(
        _with(finding, trust, assessed.verdict) for finding, trust in zip(plain, assessed.trust.values(), strict=True)
    )
    remarks = (*assessed.remarks, *_about(findings, calibration), *(() if fits or not views else (_TOO_LARGE,)))
    return Judged(prediction, findings, remarks, calibration, assessed)


_TOO_LARGE = "The image is too large for an estimate of quality within the memory allowed."


def explained(
    model: Model, prediction: Prediction, limit_s: float, progress: Progress | None = None
) -> dict[str, NDArray[np.float32]]:
    """Returns, for each structure that was found, which parts of the image it rests on, on the original grid.

    Args:
        model: What found it.
        prediction: Where.
        limit_s: About how many seconds each may take.
        progress: Is told (blocks done, blocks).
    """
    maps = {}
    for code in range(1, model.predictor.description.channels):
        image, found = prediction.prepared.image, prediction.probabilities
        made = explain(image, found, code, model.predictor.window, Effort(limit_s), progress)
        if made is not None:
            maps[f"explanation_{code}.nii.gz"] = values_on_original(made.heat, prediction.prepared)
    return maps


def _fits(model: Model, prediction: Prediction) -> bool:
    classes, *shape = prediction.probabilities.shape
    needed = _FLOAT_BYTES * int(np.prod(shape)) * (3 * classes + _MAPS_AT_ONCE)
    try:
        model.predictor.bound.require(needed, "an estimate of quality")
    except PredictionError:
        return False
    return True


def _with(finding: Finding, trust: Trust, verdict: Verdict) -> Finding:
    numbers = ((_DICE, trust.dice), (_CONFIDENCE, trust.confidence))
    judgements = [Judgement(_LIKENESS, _VERDICTS[verdict])]
    if trust.dice is not None:
        judgements.append(Judgement(_QUALITY, _DOUBTFUL if trust.dice < DOUBTFUL_DICE else _PLAIN))
    return replace(
        finding,
        interval=trust.interval,
        numbers=tuple(Number(name, value) for name, value in numbers if value is not None),
        judgements=tuple(judgements),
    )


def _about(findings: Sequence[Finding], calibration: Calibration) -> list[str]:
    """Returns for whom the intervals hold, where there are any."""
    if all(finding.interval is None for finding in findings):
        return []
    hospitals = "one hospital" if calibration.hospitals == 1 else f"{calibration.hospitals} hospitals"
    return [
        f"The volume intervals hold for {calibration.coverage:.0%} of patients like the {calibration.patients} of "
        f"{hospitals} that they were calibrated on: on average over such patients, not for each."
    ]
