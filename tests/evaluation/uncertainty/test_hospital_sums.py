"""What leaves a hospital is about enough patients, or does not leave; one hospital or several give the same sums."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fedvoxel.errors import CohortError, UpdateError
from fedvoxel.evaluation.uncertainty.hospital_sums import spoilt_versions, volume_errors
from fedvoxel.federation.calibration.answers import (
    MINIMUM_PATIENTS,
    FirstAnswer,
    SecondAnswer,
    TooFewPatients,
    parse_first,
    parse_second,
)
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.fitting import make_calibration, make_plan
from tests.evaluation.uncertainty.blobs import SCALE, VIEWS, hospital, patient


def test_answers_travel_as_json_and_are_what_they_were() -> None:
    asked = hospital(0, training=22)
    first = asked.first()
    assert isinstance(first, FirstAnswer)
    assert parse_first(json.loads(first.model_dump_json()), "a") == first
    second = asked.second(make_plan([first], VIEWS))
    assert parse_second(json.loads(second.model_dump_json()), "a") == second


@pytest.mark.parametrize("validation", [0, MINIMUM_PATIENTS - 1])
def test_few_validation_patients_are_told_of_nowhere(validation: int) -> None:
    asked = hospital(0, training=22, validation=validation)
    first = asked.first()
    assert isinstance(first, FirstAnswer)
    assert first.validation_patients == 0 and first.likelihood is None
    assert set(first.volume_errors.values()) == {None}
    full = hospital(50, training=22).first()
    assert isinstance(full, FirstAnswer)
    assert isinstance(asked.second(make_plan([full], VIEWS)), TooFewPatients)
    assert isinstance(hospital(0, training=4, validation=validation).first(), TooFewPatients)


def test_several_scans_of_few_patients_are_few() -> None:
    cases = [replace(patient(place), patient=f"patient{place % 4}") for place in range(30)]
    asked = replace(hospital(0), training=cases, validation=cases)
    assert isinstance(asked.first(), TooFewPatients)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training_patients": 4}, "a part is about 4 patients"),
        ({"minimum_patients": 2}, "greater than or equal to 5"),
        ({"name": "Doe"}, "Extra inputs"),
    ],
)
def test_an_answer_about_too_few_is_refused(change: dict[str, object], said: str) -> None:
    values = {**hospital(0).first().model_dump(mode="json"), **change}
    with pytest.raises(UpdateError, match=said):
        parse_first(values, "hospital-a")


def test_a_small_cell_is_refused() -> None:
    values = hospital(0).first().model_dump(mode="json")
    counts = values["volume_errors"]["anterior"]["counts"]
    place = next(place for place, count in enumerate(counts) if count)
    counts[place], counts[place + 1] = counts[place] - 1, counts[place + 1] + 1
    with pytest.raises(UpdateError, match="a cell holds fewer than 5"):
        parse_first(values, "hospital-a")


def test_two_hospitals_add_up_to_one(calibration: Calibration) -> None:
    asked = [hospital(0), hospital(100)]
    both = replace(
        asked[0],
        training=[*asked[0].training, *asked[1].training],
        validation=[*asked[0].validation, *asked[1].validation],
    )
    first = both.first()
    assert isinstance(first, FirstAnswer)
    plan = make_plan([first], VIEWS)
    assert plan.temperature == calibration.plan.temperature
    np.testing.assert_allclose(plan.reference.precision, calibration.plan.reference.precision, rtol=1e-6, atol=1e-8)
    second = both.second(plan)
    assert isinstance(second, SecondAnswer)
    together = make_calibration(plan, [first], [second])
    for name, model in calibration.quality.items():
        other = together.quality[name]
        assert model is not None and other is not None
        np.testing.assert_allclose(model.weights, other.weights, atol=1e-6)


def test_too_few_cases_make_no_calibration() -> None:
    few = hospital(0, training=10).first()
    assert isinstance(few, FirstAnswer)
    with pytest.raises(CohortError, match="at least 20 training cases"):
        make_plan([few], VIEWS)
    other = few.model_copy(update={"structures": ("whole",)})
    with pytest.raises(UpdateError, match="different classes"):
        make_plan([few, other], VIEWS)


def test_a_missed_structure_is_infinitely_wrong_and_one_that_nobody_has_is_not_counted() -> None:
    truth, found = np.array([1, 1, 2, 0], np.uint8), np.array([1, 0, 0, 0], np.uint8)
    assert volume_errors(found, truth, 3) == [pytest.approx(np.log(2)), np.inf, None]


def test_the_same_case_is_spoilt_in_the_same_way_each_time() -> None:
    one, again = (list(spoilt_versions(patient(3), SCALE)) for _ in range(2))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(one, again, strict=True))
    assert not np.array_equal(one[0].image, patient(3).image)
