"""Makes a calibration of what hospitals sent: adds up, then solves."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from fedvoxel.errors import CohortError, UpdateError
from fedvoxel.federation.calibration.answers import FirstAnswer, SecondAnswer
from fedvoxel.federation.calibration.calibration import Calibration, CalibrationError
from fedvoxel.federation.calibration.likelihood import add_likelihoods, add_reliabilities
from fedvoxel.federation.calibration.moments import Moments, add_moments
from fedvoxel.federation.calibration.plan import ExaminationPlan, Spread, ViewPlan
from fedvoxel.federation.calibration.quality import QualityModel, fit_hospitals
from fedvoxel.federation.calibration.resemblance import reference_of
from fedvoxel.federation.calibration.score_counts import ScoreCounts, add_counts

AnswerT = TypeVar("AnswerT")

LEAST_TRAINING_CASES = 20
LEAST_ROWS_PER_FEATURE = 3
_LEAST_DEVIATION = 0.02

_TOO_FEW = "validate with a larger share of the patients (split.validation in the sites' own files), or with more sites"


def make_plan(answers: Sequence[FirstAnswer], views: ViewPlan) -> ExaminationPlan:
    """Returns how results are examined, from what all hospitals' training and validation cases were like.

    Raises:
        CohortError: There are too few cases.
        UpdateError: The answers do not go together.
    """
    if len({answer.structures for answer in answers}) > 1:
        raise UpdateError("the sites' calibrations are of models with different classes")
    reference = _together(answer.reference for answer in answers)
    if reference is None or reference.rows < LEAST_TRAINING_CASES:
        rows = reference.rows if reference else 0
        raise CohortError(f"expected at least {LEAST_TRAINING_CASES} training cases to compare with, got {rows}")
    likelihoods = [answer.likelihood for answer in answers if answer.likelihood is not None]
    total = add_likelihoods(likelihoods)
    if not total.voxels:
        raise CohortError(f"no hospital has enough validation patients to calibrate with; {_TOO_FEW}")
    structures = answers[0].structures
    return ExaminationPlan(
        structures=structures,
        views=views,
        temperature=total.best,
        reference=reference_of(reference),
        log_volumes={name: _spread(answers, name) for name in structures},
    )


def make_calibration(
    plan: ExaminationPlan,
    first: Sequence[FirstAnswer],
    second: Sequence[SecondAnswer],
    model_sha256: str | None = None,
) -> Calibration:
    """Returns the calibration that follows from all answers.

    Raises:
        CohortError: Too few hospitals or patients answered.
        UpdateError: The answers do not go together.
    """
    if not second:
        raise CohortError(f"no hospital has enough validation patients to calibrate with; {_TOO_FEW}")
    before, after = (add_reliabilities(getattr(answer, name) for answer in second) for name in ("before", "after"))
    patients = sum(answer.validation_patients for answer in second)
    try:
        distances = add_counts(answer.distances for answer in second) or second[0].distances
        errors = {name: _errors(first, name) for name in plan.structures}
    except ValueError as error:
        raise UpdateError(f"the sites' calibrations do not go together: {error}") from None
    return Calibration(
        model_sha256=model_sha256,
        hospitals=len(second),
        patients=patients,
        minimum_patients=min(answer.minimum_patients for answer in second),
        plan=plan,
        calibration_error=CalibrationError(before=before.error, after=after.error),
        distances=distances,
        volume_errors=errors,
        quality={name: _quality(second, name, patients) for name in plan.structures},
    )


def _errors(answers: Sequence[FirstAnswer], name: str) -> ScoreCounts | None:
    return add_counts(part for answer in answers if (part := answer.volume_errors.get(name)) is not None)


def _spread(answers: Sequence[FirstAnswer], name: str) -> Spread | None:
    total = _together(answer.log_volumes.get(name) for answer in answers)
    if total is None:
        return None
    deviation = float(np.sqrt(max(total.covariance[0, 0], _LEAST_DEVIATION**2)))
    return Spread(mean=float(total.mean[0]), deviation=deviation)


def _quality(answers: Sequence[SecondAnswer], name: str, patients: int) -> QualityModel | None:
    parts = [part for answer in answers if (part := answer.quality.get(name)) is not None]
    total = _together(parts)
    if total is None or total.rows < LEAST_ROWS_PER_FEATURE * len(total.names):
        return None
    return fit_hospitals(parts, patients)


def _together(parts: Iterable[Moments | None]) -> Moments | None:
    try:
        return add_moments(part for part in parts if part is not None)
    except ValueError as error:
        raise UpdateError(f"the sites' calibrations do not go together: {error}") from None


def only(answers: Mapping[str, object], kind: type[AnswerT]) -> list[AnswerT]:
    """Returns the answers of one kind, in the order of the sites' names: the order of arrival changes nothing."""
    return [answer for _, answer in sorted(answers.items()) if isinstance(answer, kind)]
