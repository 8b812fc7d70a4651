"""Uses a model on one case after the other and scores it; a case that cannot be used is told and passed over.

Where the model itself fails, the case is not passed over: a model would look better for each hard case that it breaks
on. It counts as having found nothing there.
"""

from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import FedVoxelError, GeometryError, PredictionError
from fedvoxel.evaluation.inference.prediction import Prediction, Predictor
from fedvoxel.evaluation.inference.suitability import ImageFacts, known_body_part, remarks_on
from fedvoxel.evaluation.judgement.case_result import CaseResult, Scores, Skipped
from fedvoxel.evaluation.judgement.case_views import CaseViews, case_views
from fedvoxel.evaluation.judgement.confidence import Reliability, reliability_of, truth_on_prepared
from fedvoxel.evaluation.judgement.structure_score import Yardstick, score_structure
from fedvoxel.evaluation.judgement.subject import Subject
from fedvoxel.evaluation.uncertainty.probability import tempered
from fedvoxel.export.description import InputRange
from fedvoxel.volumes.volume import LabelledVolume

Label = NDArray[np.uint8]
_OWN_FAILURES = frozenset({"not_finite", "unusable_model"})
"""Reasons that are the model's, and neither the image's nor this machine's."""

Progress = Callable[[int, int], None]
_Worst = list[tuple[CaseResult, CaseViews]]


@dataclass(frozen=True)
class Judge:
    """Holds the model that is judged, and by what.

    Attributes:
        predictor: The model.
        yardstick: How structures are measured.
        temperature: What its logits are divided by where confidence is judged, as where it is used.
        other: A model that it is compared with.
        pictured: Of how many cases, the worst, slices are shown.
    """

    predictor: Predictor
    yardstick: Yardstick
    temperature: float = 1.0
    other: Predictor | None = None
    pictured: int = 0

    @property
    def structures(self) -> tuple[str, ...]:
        """Returns the names of the structures, in the order of their codes."""
        return tuple(structure.name for structure in self.predictor.description.structures)


@dataclass(frozen=True)
class Judged:
    """Is what came of all cases.

    Attributes:
        cases: Judged, the worst first.
        skipped: Not judged.
        views: Slices of the worst, by case and hospital.
    """

    cases: tuple[CaseResult, ...]
    skipped: tuple[Skipped, ...]
    views: dict[tuple[str, str], CaseViews]


def judge_all(judge: Judge, subjects: Sequence[Subject], progress: Progress | None = None) -> Judged:
    """Judges every case; one that fails never stops the others.

    Args:
        judge: What is judged, by what.
        subjects: The cases.
        progress: Called with (done, total) after each.
    """
    cases: list[CaseResult] = []
    skipped: list[Skipped] = []
    worst: _Worst = []
    for done, subject in enumerate(subjects, start=1):
        try:
            result, volume, found = _judge(judge, subject)
            cases.append(result)
            _draw_if_worst(worst, judge, result, volume, found)
        except (GeometryError, PredictionError) as error:
            skipped.append(_skipped(subject, error))
        if progress is not None:
            progress(done, len(subjects))
    views = {(one.case, one.hospital): drawn for one, drawn in worst}
    return Judged(tuple(sorted(cases, key=lambda one: one.badness)), tuple(skipped), views)


def _judge(judge: Judge, subject: Subject) -> tuple[CaseResult, LabelledVolume, Label]:
    volume = subject.read()
    remarks = _remarks(subject, volume, judge.predictor.description.input)
    found, reliability, failure = _found(judge, volume)
    other, other_failure = _other(judge, subject, volume)
    result = CaseResult(
        case=subject.case,
        patient=subject.patient,
        hospital=subject.hospital,
        known=subject.known,
        scores=_scores(judge, found, volume),
        other=other,
        reliability=reliability,
        remarks=remarks,
        failure=failure,
        other_failure=other_failure,
    )
    return result, volume, found


def _found(judge: Judge, volume: LabelledVolume) -> tuple[Label, dict[str, Reliability], str | None]:
    """Returns what the model finds and how sure it is; where it fails itself, nothing, and why."""
    prediction, failure = _predicted(judge.predictor, volume)
    if prediction is None:
        return np.zeros_like(volume.label), {name: Reliability.nothing() for name in judge.structures}, failure
    return prediction.label, _reliability(judge, prediction, volume), None


def _predicted(predictor: Predictor, volume: LabelledVolume) -> tuple[Prediction | None, str | None]:
    try:
        return predictor.predict(volume.image), None
    except PredictionError as error:
        if error.reason not in _OWN_FAILURES:
            raise
        return None, error.reason


def _scores(judge: Judge, found: Label, volume: LabelledVolume) -> Scores:
    yardstick, spacing = judge.yardstick, volume.image.spacing_mm
    return {
        name: score_structure(
            found == code, volume.label == code, spacing, yardstick.tolerance_mm, name in yardstick.pieces
        )
        for code, name in enumerate(judge.structures, start=1)
    }


def _other(judge: Judge, subject: Subject, volume: LabelledVolume) -> tuple[Scores | None, str | None]:
    if subject.second is not None:
        return _scores(judge, subject.second(volume.image), volume), None
    if judge.other is None:
        return None, None
    prediction, failure = _predicted(judge.other, volume)
    found = np.zeros_like(volume.label) if prediction is None else prediction.label
    return _scores(judge, found, volume), failure


def _reliability(judge: Judge, prediction: Prediction, volume: LabelledVolume) -> dict[str, Reliability]:
    probabilities = tempered(prediction.probabilities, judge.temperature)
    truth = truth_on_prepared(volume.label, prediction.prepared, judge.predictor.description.plan.orientation)
    return {
        name: reliability_of(probabilities[code], truth == code) for code, name in enumerate(judge.structures, start=1)
    }


def _remarks(subject: Subject, volume: LabelledVolume, expected: InputRange) -> tuple[str, ...]:
    """Returns what is unusual; that a file does not say what it is, is not: a cohort was chosen by people."""
    modality = subject.known.get("Modality") or expected.modalities[0]
    body_part = known_body_part(subject.known.get("BodyPartExamined")) or expected.body_parts[0]
    facts = ImageFacts.of(str(modality), body_part, volume.image.shape, volume.image.affine)
    return tuple(remarks_on(facts, expected))


def _draw_if_worst(worst: _Worst, judge: Judge, result: CaseResult, volume: LabelledVolume, found: Label) -> None:
    """Draws a case if it is among the worst so far, and drops what no longer is: pictures of all would fill memory."""
    if len(worst) < judge.pictured or (worst and result.badness < worst[-1][0].badness):
        drawn = case_views(volume, found, len(judge.structures))
        insort(worst, (result, drawn), key=lambda one: one[0].badness)
        del worst[judge.pictured :]


def _skipped(subject: Subject, error: FedVoxelError) -> Skipped:
    reason = str(getattr(error, "reason", type(error).__name__))
    return Skipped(
        case=subject.case,
        hospital=subject.hospital,
        reason=reason,
        message=str(error).removeprefix(f"{subject.case}: "),
    )
