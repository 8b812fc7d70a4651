"""Uses a model on one case after the other and scores it; a case that cannot be used is told and passed over."""

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
from fedvoxel.export.description import InputRange
from fedvoxel.volumes.volume import LabelledVolume

Label = NDArray[np.uint8]
Progress = Callable[[int, int], None]
_Worst = list[tuple[CaseResult, CaseViews]]


@dataclass(frozen=True)
class Judge:
    """Holds the model that is judged, and by what.

    Attributes:
        predictor: The model.
        yardstick: How structures are measured.
        other: A model that it is compared with.
        pictured: Of how many cases, the worst, slices are shown.
    """

    predictor: Predictor
    yardstick: Yardstick
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
    prediction = judge.predictor.predict(volume.image)
    found, reliability = prediction.label, _reliability(judge, prediction, volume)
    del prediction  # its probabilities are large, and another model may be next
    result = CaseResult(
        case=subject.case,
        patient=subject.patient,
        hospital=subject.hospital,
        known=subject.known,
        scores=_scores(judge, found, volume),
        other=_other(judge, subject, volume),
        reliability=reliability,
        remarks=remarks,
    )
    return result, volume, found


def _scores(judge: Judge, found: Label, volume: LabelledVolume) -> Scores:
    yardstick, spacing = judge.yardstick, volume.image.spacing_mm
    return {
        name: score_structure(
            found == code, volume.label == code, spacing, yardstick.tolerance_mm, name in yardstick.pieces
        )
        for code, name in enumerate(judge.structures, start=1)
    }


def _other(judge: Judge, subject: Subject, volume: LabelledVolume) -> Scores | None:
    if subject.second is not None:
        return _scores(judge, subject.second(volume.image), volume)
    if judge.other is not None:
        return _scores(judge, judge.other.predict(volume.image).label, volume)
    return None


def _reliability(judge: Judge, prediction: Prediction, volume: LabelledVolume) -> dict[str, Reliability]:
    truth = truth_on_prepared(volume.label, prediction.prepared, judge.predictor.description.plan.orientation)
    return {
        name: reliability_of(prediction.probabilities[code], truth == code)
        for code, name in enumerate(judge.structures, start=1)
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
