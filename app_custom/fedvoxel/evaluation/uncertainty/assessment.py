"""Says how far one result can be trusted, by the calibration that came with the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedvoxel.dicom.result import Interval
from fedvoxel.evaluation.inference.refusal import prediction_error
from fedvoxel.evaluation.uncertainty.examination import Likeness, Model, Progress, examine, likeness_of
from fedvoxel.evaluation.uncertainty.image_features import GROUPS
from fedvoxel.evaluation.uncertainty.probability import Voxels
from fedvoxel.evaluation.uncertainty.result_features import Found, result_features
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.limits import limits_of
from fedvoxel.federation.calibration.score_counts import least_patients

DOUBTFUL_DICE = 0.7
"""An estimate below is a remark of its own. A convention, not a clinical limit."""

Verdict = Literal["alike", "unusual"]


@dataclass(frozen=True)
class Trust:
    """Is what is said of one structure.

    Attributes:
        confidence: Mean calibrated probability of its voxels; None where none was found.
        dice: Estimated Dice; None where the calibration has no estimate for it.
        dice_error: Root mean square error of such estimates on the cases that it was fitted on.
        interval: Within what its true volume lies; None where nothing can be said.
    """

    confidence: float | None
    dice: float | None
    dice_error: float | None
    interval: Interval | None


@dataclass(frozen=True, eq=False)
class Assessment:
    """Is what is said of one result.

    Attributes:
        likeness: How like the training cases the image is.
        verdict: Whether it is unusual; one that is wholly unlike is refused.
        trust: By structure.
        found: All that it follows from, on the prepared grid; None where views were not looked at.
        remarks: What a reader must know, one sentence each.
    """

    likeness: Likeness
    verdict: Verdict
    trust: Mapping[str, Trust]
    found: Found | None
    remarks: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Subject:
    """Is what is assessed.

    Attributes:
        image: float32 (1, X, Y, Z), prepared.
        spacing_mm: Its voxel size.
        probabilities: What the model found, (classes, X, Y, Z).
        volumes_ml: Volume of each structure, in order, as it is reported.
        labels: What a reader calls each structure.
    """

    image: Voxels
    spacing_mm: tuple[float, float, float]
    probabilities: Voxels
    volumes_ml: Sequence[float]
    labels: Sequence[str]


def check_likeness(subject: Subject, calibration: Calibration) -> tuple[Likeness, Verdict]:
    """Returns how like the training cases an image is.

    Raises:
        PredictionError: unlike_training; it is nothing that the model was trained on.
    """
    likeness = likeness_of(subject.image, subject.spacing_mm, subject.probabilities, calibration.plan)
    limits = limits_of(calibration.distances)
    if likeness.distance > limits.refuse:
        raise prediction_error(
            "unlike_training",
            f"the image is unlike those that the model was trained on (distance {likeness.distance:.1f}, and up to "
            f"{limits.refuse:.1f} is accepted), most of all in the {GROUPS[likeness.most_unlike[0]]}",
        )
    return likeness, "unusual" if likeness.distance > limits.warn else "alike"


def assess(
    subject: Subject, calibration: Calibration, model: Model | None, progress: Progress | None = None
) -> Assessment:
    """Assesses one result.

    Args:
        subject: The result.
        calibration: What is known of the model.
        model: Is asked about changed copies of the image; None leaves them out, and with them the estimate of quality.
        progress: Is told (views done, views).

    Raises:
        PredictionError: unlike_training, or the model fails on a view.
    """
    likeness, verdict = check_likeness(subject, calibration)
    plan, found = calibration.plan, None
    if model is not None:
        found = examine(subject.image, subject.spacing_mm, subject.probabilities, plan, model, progress)
    trust = {
        name: _trust(name, code, subject.volumes_ml[code - 1], found, calibration, verdict)
        for code, name in enumerate(plan.structures, start=1)
    }
    remarks = _remarks(subject.labels, trust, calibration, likeness, verdict)
    return Assessment(likeness, verdict, trust, found, remarks)


def interval_of(volume_ml: float, name: str, calibration: Calibration) -> Interval | None:
    """Returns the conformal interval of a structure's true volume; None where none can be given.

    It holds the true volume of a patient with probability `coverage`, if the patient is exchangeable with those that
    the calibration is of: from the same hospitals, scanned alike, drawn alike. It says nothing of others.

    Source: Angelopoulos and Bates 2023, split conformal prediction, with the score |log(true / found)|.
    """
    errors = calibration.volume_errors[name]
    bound = errors.bound(calibration.coverage) if errors is not None else None
    if bound is None or volume_ml <= 0:
        return None
    return Interval(volume_ml * float(np.exp(-bound)), volume_ml * float(np.exp(bound)), calibration.coverage)


def _trust(
    name: str, code: int, volume_ml: float, found: Found | None, calibration: Calibration, verdict: Verdict
) -> Trust:
    interval = interval_of(volume_ml, name, calibration) if verdict == "alike" else None
    model = calibration.quality[name]
    if found is None:
        return Trust(None, None, None, interval)
    mask = found.label == code
    confidence = float(found.probabilities[code][mask].mean()) if mask.any() else None
    if model is None:
        return Trust(confidence, None, None, interval)
    dice = model.estimate(result_features(found, code, calibration.plan.log_volumes[name]))
    return Trust(confidence, dice, model.residual, interval)


def _remarks(
    labels: Sequence[str],
    trust: Mapping[str, Trust],
    calibration: Calibration,
    likeness: Likeness,
    verdict: Verdict,
) -> tuple[str, ...]:
    remarks = []
    if verdict == "unusual":
        remarks.append(
            f"The image is unusual for this model, most of all in the {GROUPS[likeness.most_unlike[0]]}: check the "
            "result closely. No volume intervals are given, which hold for images like the calibration's only."
        )
    for label, (name, found) in zip(labels, trust.items(), strict=True):
        if found.dice is not None and found.dice < DOUBTFUL_DICE:
            remarks.append(
                f"{label}: the estimated overlap with a reader (Dice) is {found.dice:.2f}, with an error of about "
                f"{found.dice_error:.2f}: check the outline."
            )
        if verdict == "alike" and found.interval is None:
            remarks.append(_no_interval(label, calibration, name))
    return tuple(remarks)


def _no_interval(label: str, calibration: Calibration, name: str) -> str:
    errors = calibration.volume_errors[name]
    patients, needed = errors.patients if errors else 0, least_patients(calibration.coverage)
    why = (
        f"{patients} calibration patients, and {needed} are needed" if patients < needed else "it was missed too often"
    )
    if errors and errors.bound(calibration.coverage) is not None:
        why = "it was not found"
    return f"{label}: no volume interval can be given ({why})."
