"""What one hospital computes of its own cases when a model is calibrated; see `federation.calibration.answers`.

The model is whatever computes probabilities: torch at a hospital that trains, ONNX Runtime where a package is used.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import GeometryError
from fedvoxel.evaluation.uncertainty.degradation import FITTED, draw_spoiling
from fedvoxel.evaluation.uncertainty.examination import Model, Progress, examine
from fedvoxel.evaluation.uncertainty.image_features import feature_names, features_of
from fedvoxel.evaluation.uncertainty.probability import Voxels, band_of, dice_of, labels_of
from fedvoxel.evaluation.uncertainty.result_features import RESULT_FEATURES, Found, result_features
from fedvoxel.federation.calibration.answers import MINIMUM_PATIENTS, FirstAnswer, SecondAnswer, TooFewPatients
from fedvoxel.federation.calibration.likelihood import (
    TEMPERATURES,
    LikelihoodSums,
    ReliabilitySums,
    add_likelihoods,
    add_reliabilities,
)
from fedvoxel.federation.calibration.moments import Moments
from fedvoxel.federation.calibration.plan import ExaminationPlan
from fedvoxel.federation.calibration.quality import TARGET
from fedvoxel.federation.calibration.score_counts import ScoreCounts, count_scores
from fedvoxel.volumes.plan import IntensityPlan, PreparedCase

ERROR_EDGES = tuple(float(f"{edge:.4g}") for edge in np.geomspace(0.005, 2.0, 80))
DISTANCE_EDGES = tuple(float(f"{edge:.4g}") for edge in np.geomspace(0.25, 64.0, 112))
SPOILT_PER_CASE = 4

_LEAST_ML = 1e-3
_MM3_PER_ML = 1000.0
_TINY = 1e-12


@dataclass(frozen=True)
class HospitalCases:
    """Is what a hospital calibrates on.

    Attributes:
        model: What is calibrated.
        structures: The job's classes.
        training: Cases that the model was trained on: only what they look like is used.
        validation: Cases that it was not trained on.
        scale: How intensities are scaled.
    """

    model: Model
    structures: tuple[str, ...]
    training: Sequence[PreparedCase]
    validation: Sequence[PreparedCase]
    scale: IntensityPlan

    def first(self, progress: Progress | None = None) -> FirstAnswer | TooFewPatients:
        """Returns the first answer."""
        trained, validated = patients_of(self.training), patients_of(self.validation)
        if max(trained, validated) < MINIMUM_PATIENTS:
            return TooFewPatients()
        report = _Counter(progress, len(self.training) + len(self.validation))
        rows = [self._features(case, report) for case in self.training] if trained >= MINIMUM_PATIENTS else []
        likelihoods: list[LikelihoodSums] = []
        errors: dict[str, list[float | None]] = {}
        for case in self.validation if validated >= MINIMUM_PATIENTS else ():
            probabilities = self.model.probabilities(case.image)
            likelihoods.append(likelihood_of(probabilities, case.label))
            found = volume_errors(labels_of(probabilities), case.label, len(self.structures))
            errors.setdefault(patient_of(case), found)  # one scan of each patient: they must be exchangeable
            report.next()
        names = feature_names(self.structures)
        return FirstAnswer(
            structures=self.structures,
            training_patients=trained if rows else 0,
            validation_patients=validated if likelihoods else 0,
            reference=Moments.of(names, np.array(rows)) if rows else None,
            log_volumes={
                name: self._log_volumes(code) if rows else None for code, name in enumerate(self.structures, start=1)
            },
            likelihood=add_likelihoods(likelihoods) if likelihoods else None,
            volume_errors={
                name: _counted([row[place] for row in errors.values()], ERROR_EDGES)
                for place, name in enumerate(self.structures)
            },
        )

    def second(self, plan: ExaminationPlan, progress: Progress | None = None) -> SecondAnswer | TooFewPatients:
        """Returns the second answer; a plan comes with the question."""
        patients = patients_of(self.validation)
        if patients < MINIMUM_PATIENTS:
            return TooFewPatients()
        report = _Counter(progress, len(self.validation) * (1 + SPOILT_PER_CASE))
        rows = [_Rows() for _ in plan.structures]
        distances: dict[str, float] = {}
        before, after = [], []
        for case in self.validation:
            probabilities = self.model.probabilities(case.image)
            found = self._examined(case, probabilities, plan)
            distances.setdefault(patient_of(case), found.distance)
            before.append(reliability_of(probabilities, probabilities, case.label))
            after.append(reliability_of(found.probabilities, probabilities, case.label))
            _add_rows(rows, found, case, plan)
            report.next()
            for spoilt in spoilt_versions(case, self.scale):
                _add_rows(rows, self._examined(spoilt, None, plan), spoilt, plan)
                report.next()
        return SecondAnswer(
            validation_patients=patients,
            quality={name: found.moments for name, found in zip(plan.structures, rows, strict=True)},
            distances=count_scores(list(distances.values()), DISTANCE_EDGES, MINIMUM_PATIENTS),
            before=add_reliabilities(before),
            after=add_reliabilities(after),
        )

    def _features(self, case: PreparedCase, report: "_Counter") -> NDArray[np.float64]:
        found = features_of(case.image, case.spacing_mm, self.model.probabilities(case.image), self.structures)
        report.next()
        return found

    def _log_volumes(self, code: int) -> Moments | None:
        having = [case for case in self.training if (case.label == code).any()]
        volumes = [float(np.count_nonzero(case.label == code)) * _voxel_ml(case) for case in having]
        logs = np.log(np.array(volumes) + _LEAST_ML)[:, np.newaxis]
        return Moments.of(("log_volume",), logs) if patients_of(having) >= MINIMUM_PATIENTS else None

    def _examined(self, case: PreparedCase, probabilities: Voxels | None, plan: ExaminationPlan) -> Found:
        known = self.model.probabilities(case.image) if probabilities is None else probabilities
        return examine(case.image, case.spacing_mm, known, plan, self.model)


def patients_of(cases: Sequence[PreparedCase]) -> int:
    """Returns of how many patients some cases are."""
    return len({patient_of(case) for case in cases})


def patient_of(case: PreparedCase) -> str:
    """Returns the pseudonym of a case's patient; a case that does not say is nobody else's."""
    return case.patient or case.case


def likelihood_of(probabilities: Voxels, truth: NDArray[np.uint8]) -> LikelihoodSums:
    """Returns how likely one case's truth was at each temperature, on voxels where a structure is possible."""
    band = band_of(probabilities)
    logits = np.log(np.maximum(probabilities[:, band].astype(np.float64), _TINY))
    own = np.take_along_axis(logits, truth[band].astype(np.int64)[np.newaxis], axis=0)[0]
    loss = []
    for temperature in TEMPERATURES:
        scaled = logits / temperature
        top = scaled.max(axis=0) if scaled.size else np.zeros(0)
        loss.append(float(np.sum(top + np.log(np.exp(scaled - top).sum(axis=0)) - own / temperature)))
    return LikelihoodSums(voxels=int(np.count_nonzero(band)), loss=tuple(loss))


def reliability_of(probabilities: Voxels, untempered: Voxels, truth: NDArray[np.uint8]) -> ReliabilitySums:
    """Returns how sure and how right one case's most probable classes were, where a structure is possible."""
    band = band_of(untempered)
    right = labels_of(untempered)[band] == truth[band]
    return ReliabilitySums.of(probabilities[:, band].max(axis=0).astype(np.float64), right)


def volume_errors(found: NDArray[np.uint8], truth: NDArray[np.uint8], structures: int) -> list[float | None]:
    """Returns |log(true volume / found volume)| of each structure: infinite if one is missing, None if both are."""
    errors: list[float | None] = []
    for code in range(1, structures + 1):
        volumes = np.count_nonzero(found == code), np.count_nonzero(truth == code)
        if max(volumes) == 0:
            errors.append(None)
        else:
            errors.append(float("inf") if min(volumes) == 0 else abs(float(np.log(volumes[1] / volumes[0]))))
    return errors


def spoilt_versions(case: PreparedCase, scale: IntensityPlan) -> Iterator[PreparedCase]:
    """Yields spoilt versions of a case, the same whenever it is asked; one that leaves no image is passed over."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(case.case.encode()).digest()[:8], "big"))
    for _ in range(SPOILT_PER_CASE):
        try:
            yield draw_spoiling(FITTED, random).of(case, scale, random)
        except GeometryError:
            continue


class _Rows:
    """Gathers one structure's features and Dice, and whose they are."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.float64]] = []
        self._patients: set[str] = set()

    def add(self, patient: str, features: NDArray[np.float64], dice: float) -> None:
        """Adds a result."""
        self._rows.append(np.append(features, dice))
        self._patients.add(patient)

    @property
    def moments(self) -> Moments | None:
        """Returns their moments; None where they are of too few patients."""
        if len(self._patients) < MINIMUM_PATIENTS:
            return None
        return Moments.of((*RESULT_FEATURES, TARGET), np.array(self._rows))


def _add_rows(rows: Sequence[_Rows], found: Found, case: PreparedCase, plan: ExaminationPlan) -> None:
    for code, name in enumerate(plan.structures, start=1):
        dice = dice_of(found.label == code, case.label == code)
        if dice is not None:
            rows[code - 1].add(patient_of(case), result_features(found, code, plan.log_volumes[name]), dice)


def _counted(scores: Sequence[float | None], edges: Sequence[float]) -> ScoreCounts | None:
    known = [score for score in scores if score is not None]
    return count_scores(known, edges, MINIMUM_PATIENTS) if len(known) >= MINIMUM_PATIENTS else None


def _voxel_ml(case: PreparedCase) -> float:
    return float(np.prod(case.spacing_mm)) / _MM3_PER_ML


class _Counter:
    """Tells how many of some cases are done."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def next(self) -> None:
        """Counts one more."""
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)
