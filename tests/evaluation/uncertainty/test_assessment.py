"""A result's estimate goes along with its truth, unlike images are refused, and intervals hold what they promise."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from fedvoxel.errors import PredictionError
from fedvoxel.evaluation.uncertainty.assessment import Assessment, Subject, assess
from fedvoxel.evaluation.uncertainty.degradation import CROP, FITTED, UNSEEN, Spoiling
from fedvoxel.evaluation.uncertainty.probability import dice_of, labels_of
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.limits import limits_of
from fedvoxel.volumes.plan import PreparedCase
from tests.evaluation.uncertainty.blobs import SCALE, STRUCTURES, BrightModel, patient


def subject(case: PreparedCase, model: BrightModel) -> Subject:
    chance = model.probabilities(case.image)
    volumes = [float(np.count_nonzero(labels_of(chance) == code)) / 1000 for code in (1, 2)]
    return Subject(case.image, case.spacing_mm, chance, volumes, STRUCTURES)


def assessed(case: PreparedCase, calibration: Calibration, views: bool = True) -> Assessment:
    model = BrightModel()
    return assess(subject(case, model), calibration, model if views else None)


def limited(calibration: Calibration, warn: float) -> Calibration:
    """A calibration that calls images unusual above another distance."""
    cells = {"edges": (warn, 2 * warn), "counts": (40, 0, 0)}
    return calibration.model_copy(update={"distances": calibration.distances.model_copy(update=cells)})


def test_the_estimate_goes_along_with_the_true_dice_of_unseen_patients(calibration: Calibration) -> None:
    random, estimates, true = np.random.default_rng(1), [], []
    tolerant = limited(calibration, 1e6)
    for seed in range(500, 512):
        for kind in (None, "noise", "blur", "motion"):
            case = patient(seed)
            if kind:
                case = Spoiling(kind, float(random.uniform(0.1, 1))).of(case, SCALE, random)
            found = assessed(case, tolerant)
            for code, name in enumerate(STRUCTURES, start=1):
                dice = dice_of(found.found.label == code, case.label == code)  # type: ignore[union-attr]
                estimates.append(found.trust[name].dice)
                true.append(dice)
    assert stats.spearmanr(estimates, true).statistic > 0.7


def test_an_image_like_those_of_training_is_passed_with_intervals(calibration: Calibration) -> None:
    passed = [assessed(patient(seed), calibration) for seed in range(600, 620)]
    alike = [found for found in passed if found.verdict == "alike"]
    assert len(alike) >= 17
    inside = []
    for seed, found in zip(range(600, 620), passed, strict=True):
        for code, name in enumerate(STRUCTURES, start=1):
            interval = found.trust[name].interval
            if interval is not None:
                inside.append(
                    interval.low_ml <= np.count_nonzero(patient(seed).label == code) / 1000 <= interval.high_ml
                )
    assert np.mean(inside) > 0.75


@pytest.mark.parametrize("what", ["noise alone", "another size", "turned"])
def test_an_unlike_image_is_refused_and_the_reason_says_what_is_unlike(calibration: Calibration, what: str) -> None:
    case = patient(700)
    if what == "noise alone":
        image = np.random.default_rng(1).normal(size=case.image.shape).astype(np.float32)
        case = replace(case, image=image)
    elif what == "another size":
        case = replace(case, spacing_mm=(3.0, 3.0, 3.0))
    else:
        turned = np.ascontiguousarray(case.image.transpose(0, 2, 3, 1))
        case = replace(case, image=turned)
    with pytest.raises(PredictionError, match="is unlike those that the model was trained on") as refused:
        assessed(case, calibration)
    assert refused.value.reason == "unlike_training"


def test_an_unusual_image_comes_with_a_remark_and_without_intervals(calibration: Calibration) -> None:
    distance = assessed(patient(800), calibration, views=False).likeness.distance
    edge = distance * 0.9
    strict = limited(calibration, edge)
    assert limits_of(strict.distances).warn == edge
    found = assessed(patient(800), strict, views=False)
    assert found.verdict == "unusual" and all(trust.interval is None for trust in found.trust.values())
    assert "unusual for this model" in found.remarks[0]


def test_too_few_patients_give_no_interval_and_say_so(calibration: Calibration) -> None:
    cell = next(errors for errors in calibration.volume_errors.values() if errors)
    few = cell.model_copy(update={"counts": (5, *(0,) * (len(cell.counts) - 1))})
    scarce = calibration.model_copy(update={"volume_errors": dict.fromkeys(STRUCTURES, few)})
    found = assessed(patient(801), scarce, views=False)
    assert found.trust["anterior"].interval is None
    assert "anterior: no volume interval can be given (5 calibration patients, and 9 are needed)." in found.remarks


def test_without_views_the_model_is_not_asked_again(calibration: Calibration) -> None:
    model = BrightModel()
    one = subject(patient(802), model)
    quick = assess(one, calibration, None)
    assert model.asked == 1 and quick.found is None and quick.trust["anterior"].dice is None
    seen: list[tuple[int, int]] = []
    assess(one, calibration, model, lambda done, total: seen.append((done, total)))
    assert model.asked == 7 and seen[-1] == (6, 6)


def test_a_structure_that_was_not_found_has_a_bad_estimate(calibration: Calibration) -> None:
    case = patient(803)
    blank = replace(case, image=np.where(case.label == 2, case.image.min(), case.image))
    tolerant = limited(calibration, 1e6)
    found = assessed(blank, tolerant)
    assert found.trust["posterior"].confidence is None or found.trust["posterior"].dice < found.trust["anterior"].dice  # type: ignore[operator]


@pytest.mark.parametrize("kind", [*FITTED, *UNSEEN, CROP])
def test_every_way_to_spoil_changes_the_image_and_keeps_it_finite(kind: str) -> None:
    case, random = patient(900), np.random.default_rng(1)
    spoilt = Spoiling(kind, 0.8).of(case, SCALE, random)
    assert np.isfinite(spoilt.image).all() and spoilt.image.shape[1:] == spoilt.label.shape
    assert spoilt.image.shape != case.image.shape or np.abs(spoilt.image - case.image).mean() > 0.02
