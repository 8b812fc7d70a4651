"""Conformal bounds from counted scores: they cover what they promise, and no cell is about few patients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.federation.calibration.score_counts import ScoreCounts, add_counts, count_scores, least_patients

EDGES = tuple(np.geomspace(0.01, 2, 40))


@given(st.lists(st.floats(0, 5), min_size=5, max_size=60))
def test_a_hospital_tells_of_no_small_group_and_makes_no_score_smaller(scores: list[float]) -> None:
    counted = count_scores(scores, EDGES, 5)
    assert counted.patients == len(scores) and not counted.has_small_cells(5)
    exact = np.bincount(np.searchsorted(EDGES, scores), minlength=len(EDGES) + 1)
    assert all(np.cumsum(counted.counts) <= np.cumsum(exact))


def test_the_bound_covers_a_further_patient_as_often_as_it_says() -> None:
    random, covered, trials = np.random.default_rng(1), 0, 600
    for _ in range(trials):
        hospitals = [np.abs(random.normal(0, 0.3, size)) for size in (7, 11, 14)]
        bound = add_counts(count_scores(one, EDGES, 5) for one in hospitals).bound(0.9)  # type: ignore[union-attr]
        covered += bound is not None and abs(random.normal(0, 0.3)) <= bound
    assert covered / trials > 0.9 - 2 * np.sqrt(0.09 / trials)


@pytest.mark.parametrize(("coverage", "least"), [(0.9, 9), (0.95, 19), (0.8, 4)])
def test_with_too_few_patients_there_is_no_bound(coverage: float, least: int) -> None:
    assert least_patients(coverage) == least
    scores = [0.1] * least
    assert count_scores(scores, EDGES, 4).bound(coverage) == pytest.approx(EDGES[np.searchsorted(EDGES, 0.1)])
    assert count_scores(scores[1:] or [0.1], EDGES, 1).bound(coverage) is None


def test_structures_that_are_missed_too_often_leave_no_bound() -> None:
    found = count_scores([0.1] * 30, EDGES, 2).bound(0.9)
    assert count_scores([0.1] * 28 + [np.inf] * 2, EDGES, 2).bound(0.9) == found is not None
    assert count_scores([0.1] * 27 + [np.inf] * 3, EDGES, 2).bound(0.9) is None


def test_counts_of_other_cells_are_not_added() -> None:
    with pytest.raises(ValueError, match="different cells"):
        add_counts([count_scores([0.1] * 5, EDGES, 5), count_scores([0.1] * 5, EDGES[:-1], 5)])
    assert add_counts([]) is None
    with pytest.raises(ValueError, match="rising edges"):
        ScoreCounts(edges=(2.0, 1.0), counts=(1, 1, 1))


def test_fewer_scores_than_the_minimum_are_not_counted() -> None:
    with pytest.raises(ValueError, match="at least 5"):
        count_scores([0.1] * 4, EDGES, 5)
