import pytest

from fedvoxel.evaluation.judgement.agreement import agreement_of

# Bland and Altman, Lancet 1986, table 1: peak expiratory flow by two meters in 17 people.
LARGE = (494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427)
MINI = (512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451)
PEOPLE = [str(number) for number in range(17)]


def test_the_textbook_example() -> None:
    found = agreement_of(LARGE, MINI, PEOPLE)
    assert found is not None and found.patients == 17
    assert found.bias.value_ml == pytest.approx(-2.1, abs=0.05)
    assert (found.bias.low_ml, found.bias.high_ml) == (pytest.approx(-22.0, abs=0.2), pytest.approx(17.8, abs=0.2))
    assert found.lower.value_ml == pytest.approx(-78.1, abs=0.2)  # 1.96 SD; the paper takes 2
    assert found.upper.value_ml == pytest.approx(73.9, abs=0.2)
    assert found.lower.high_ml - found.lower.low_ml == pytest.approx(69.2, rel=0.02)
    assert found.proportional_p > 0.05


def test_scans_of_one_patient_do_not_narrow_it() -> None:
    found = agreement_of(LARGE, MINI, PEOPLE)
    assert agreement_of(LARGE * 3, MINI * 3, PEOPLE * 3) == found


def test_an_error_that_grows_with_size_is_found() -> None:
    truth = [10.0, 20.0, 30.0, 40.0, 50.0, 61.0]
    found = agreement_of([0.8 * volume for volume in truth], truth, PEOPLE[:6])
    assert found.proportional_p < 0.001 and found.slope == pytest.approx(-0.2 / 0.9)


def test_too_few_say_nothing_and_equals_are_no_trend() -> None:
    assert agreement_of([1.0, 2.0], [1.0, 2.0], ["a", "b"]) is None
    same = agreement_of([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "abc")
    assert same.proportional_r is None and same.bias.value_ml == 0
