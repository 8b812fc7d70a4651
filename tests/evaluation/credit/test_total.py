"""Totals and intervals: against scipy's Student, by hand, and how often they cover."""

import numpy as np
import pytest
from scipy import stats

from fedvoxel.evaluation.credit.total import degrees_of_freedom, student_quantile, total_of


@pytest.mark.parametrize("degrees", [3.0, 4.9, 7.6, 20.0, 200.0])
@pytest.mark.parametrize("probability", [0.9, 0.975, 0.99])
def test_the_quantile_is_students(degrees: float, probability: float) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(stats.t.ppf(probability, degrees), abs=0.02)


def test_the_error_is_that_of_successive_differences_and_of_what_was_drawn() -> None:
    found = total_of([4.0, 3.0, 2.0, 1.0], [0.0, 0.0, 0.0, 2.0])
    assert found.value == 10.0 and found.error == pytest.approx(np.sqrt(4 * 3 / 6 + 4))
    interval = found.interval()
    assert interval and sum(interval) / 2 == pytest.approx(10.0)


def test_a_steady_decline_is_no_error() -> None:
    values = list(np.linspace(1.0, 0.0, 20))
    found = total_of(values, [0.0] * 20)
    assert found.error is not None and found.error < 0.2 * np.sqrt(20) * np.std(values)


def test_with_too_few_rounds_there_is_no_interval() -> None:
    assert total_of([1.0, 2.0, 3.0], [0.0] * 3).interval() is None and total_of([], []).value == 0.0


def test_intervals_cover_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)

    def covered(truth: np.ndarray) -> float:
        found = [total_of(list(truth + random.normal(0, 0.01, 8)), [0.0] * 8).interval() or (0, 0) for _ in range(2000)]
        return float(np.mean([low <= truth.sum() <= high for low, high in found]))

    assert covered(np.zeros(8)) == pytest.approx(0.95, abs=0.02)
    assert covered(0.1 * np.exp(-0.4 * np.arange(8))) > 0.95, "a trend makes it wider than needed, never narrower"


def test_fewer_independent_values_than_rounds() -> None:
    assert degrees_of_freedom(8) == pytest.approx(4.9)
