"""Calibrates the model of one seed as the hospitals would, and tries what comes out on patients not seen before."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.parts import Values
from benchmarks.quality.training import Hospitals
from fedvoxel.errors import GeometryError
from fedvoxel.evaluation.uncertainty.assessment import interval_of
from fedvoxel.evaluation.uncertainty.degradation import CROP, FITTED, UNSEEN, Spoiling
from fedvoxel.evaluation.uncertainty.examination import Model, examine
from fedvoxel.evaluation.uncertainty.hospital_sums import HospitalCases, likelihood_of, reliability_of
from fedvoxel.evaluation.uncertainty.probability import band_of, dice_of
from fedvoxel.evaluation.uncertainty.result_features import Found, result_features
from fedvoxel.evaluation.uncertainty.views import plan_views
from fedvoxel.federation.calibration.answers import FirstAnswer, SecondAnswer
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.fitting import make_calibration, make_plan, only
from fedvoxel.federation.calibration.likelihood import ReliabilitySums, add_reliabilities
from fedvoxel.federation.calibration.plan import ExaminationPlan
from fedvoxel.volumes.plan import PreparedCase

TRIED = {"fitted": tuple(sorted(FITTED)), "unseen": (*sorted(UNSEEN), CROP)}
EACH = 2
"""Spoilt versions of each test case of either group."""


def answers_of(hospitals: Hospitals, model: Model) -> Values:
    """Returns what all hospitals send."""
    task = hospitals.task
    asked = {
        site: HospitalCases(model, task.classes, cases.training, cases.validation, task.plan.intensity)
        for site, cases in hospitals.sites.items()
    }
    first = only({site: one.first() for site, one in asked.items()}, FirstAnswer)
    plan = make_plan(first, plan_views(task.training))
    second = only({site: one.second(plan) for site, one in asked.items()}, SecondAnswer)
    told = {"first": first, "second": second}
    return {name: [answer.model_dump(mode="json") for answer in part] for name, part in told.items()}


def calibration_of(answers: Values, hospitals: Hospitals) -> Calibration:
    """Returns the calibration that follows from what the hospitals sent."""
    first = [FirstAnswer.model_validate(answer) for answer in answers["first"]]
    second = [SecondAnswer.model_validate(answer) for answer in answers["second"]]
    return make_calibration(make_plan(first, plan_views(hospitals.task.training)), first, second)


def test_rows(hospitals: Hospitals, model: Model, calibration: Calibration) -> Values:
    """Returns features and truth of each test case and spoilt version, and sums over clean ones."""
    rows: list[Values] = []
    clean: list[Values] = []
    for cases in hospitals.sites.values():
        for case in cases.test:
            for kind, severity, version in versions(case, hospitals):
                probabilities = model.probabilities(version.image)
                found = examine(version.image, version.spacing_mm, probabilities, calibration.plan, model)
                rows += _rows(case.case, (kind, severity), found, version, calibration.plan)
                if kind == "clean":
                    clean.append(_voxels(found, probabilities, case))
    return {"rows": rows, "clean": clean}


def versions(case: PreparedCase, hospitals: Hospitals) -> Iterator[tuple[str, float, PreparedCase]]:
    """Yields a case as it is, and spoilt: (kind, severity, case)."""
    yield "clean", 0.0, case
    random = np.random.default_rng([hospitals.task.training.seed, *case.case.encode()])
    for kinds in TRIED.values():
        for kind in random.choice(kinds, EACH, replace=False):
            spoiling = Spoiling(str(kind), float(random.uniform(0.1, 1.0)))
            try:
                yield spoiling.kind, spoiling.severity, spoiling.of(case, hospitals.task.plan.intensity, random)
            except GeometryError:
                continue


def _rows(
    name: str, spoilt: tuple[str, float], found: Found, case: PreparedCase, plan: ExaminationPlan
) -> list[Values]:
    rows = []
    for code, structure in enumerate(plan.structures, start=1):
        mask, truth = found.label == code, case.label == code
        dice = dice_of(mask, truth)
        if dice is None:
            continue
        features = result_features(found, code, plan.log_volumes[structure])
        volume, true = (float(np.count_nonzero(one)) * found.voxel_ml for one in (mask, truth))
        rows.append(
            {
                "case": name,
                "kind": spoilt[0],
                "severity": round(spoilt[1], 3),
                "structure": structure,
                "dice": dice,
                "features": [float(f"{value:.5g}") for value in features],
                "distance": found.distance,
                "volume_ml": volume,
                "true_ml": true,
            }
        )
    return rows


def estimated(row: Values, calibration: Calibration) -> Values:
    """Returns a row of `test_rows` with what the calibration says of it."""
    name = row["structure"]
    model, interval = calibration.quality[name], interval_of(row["volume_ml"], name, calibration)
    if model is None:
        raise ValueError(f"the calibration has no estimate for {name}")
    return {
        **row,
        "estimate": model.estimate(np.array(row["features"])),
        "interval_ml": None if interval is None else [interval.low_ml, interval.high_ml],
    }


def _voxels(found: Found, probabilities: NDArray[np.float32], case: PreparedCase) -> Values:
    """Returns, of one clean case: reliability before and after, and whether entropy points at wrong voxels."""
    band = band_of(probabilities)
    wrong = found.label[band] != case.label[band]
    return {
        "before": reliability_of(probabilities, probabilities, case.label).model_dump(),
        "after": reliability_of(found.probabilities, probabilities, case.label).model_dump(),
        "likelihood": likelihood_of(probabilities, case.label).model_dump(),
        "auroc_entropy": auroc(found.entropy[band], wrong),
        "auroc_disagreement": auroc(found.disagreement[band], wrong),
        "wrong_share": float(wrong.mean()),
    }


def auroc(scores: NDArray[Any], positive: NDArray[np.bool_]) -> float | None:
    """Returns the chance that a positive has a higher score than a negative; None where there are none of either."""
    from scipy import stats

    count = int(np.count_nonzero(positive))
    if count in (0, positive.size):
        return None
    ranks = stats.rankdata(scores)
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (positive.size - count)))


def errors_of(clean: Sequence[Values], which: str) -> float | None:
    """Returns the calibration error over all clean cases, "before" or "after"."""
    return add_reliabilities(ReliabilitySums.model_validate(row[which]) for row in clean).error
