import numpy as np
import pytest

from fedvoxel.evaluation.judgement.intervals import Estimate, mean_of, ratio_of


def test_the_mean_is_over_cases_and_the_interval_over_patients() -> None:
    values = [0.5, 0.7, 0.9, 0.6]
    found = mean_of(values, ["a", "a", "b", "c"])
    assert (found.value, found.cases, found.patients) == (pytest.approx(np.mean(values)), 4, 3)
    assert found.low < found.value < found.high


def test_scans_of_one_patient_count_as_one() -> None:
    random = np.random.default_rng(0)
    level = np.repeat(random.normal(0.8, 0.1, 12), 5)
    naive = mean_of(level.tolist(), range(60))
    clustered = mean_of(level.tolist(), [number // 5 for number in range(60)])
    assert clustered.value == pytest.approx(naive.value)
    assert clustered.high - clustered.low > 1.8 * (naive.high - naive.low)


@pytest.mark.parametrize(("patients", "least"), [(6, 0.87), (20, 0.91)])
def test_the_interval_holds_the_truth_nearly_as_often_as_it_says(patients: int, least: float) -> None:
    random = np.random.default_rng(7)
    tries, inside = 250, 0
    for seed in range(tries):
        found = mean_of(random.normal(size=patients).tolist(), range(patients), seed)
        inside += found.low <= 0 <= found.high
    assert least <= inside / tries <= 0.99


def test_the_same_cases_give_the_same_interval() -> None:
    assert mean_of([0.1, 0.5, 0.4], "abc") == mean_of([0.1, 0.5, 0.4], "abc")


def test_nothing_is_made_up() -> None:
    assert mean_of([], []) == Estimate()
    one = mean_of([0.5, 0.7], ["a", "a"])
    assert (one.value, one.low, one.high, one.cases, one.patients) == (0.6, None, None, 2, 1)
    assert ratio_of([0.0, 0.0], [0.0, 0.0], "ab").value is None


def test_a_ratio_is_of_sums() -> None:
    found = ratio_of([1, 3], [2, 8], "ab")
    assert found.value == 0.4
