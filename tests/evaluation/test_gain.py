"""The verdicts of paired comparisons, and the sentences that carry them."""

from collections.abc import Sequence

import pytest

from fedvoxel.evaluation.gain import Gain, compare, signed
from fedvoxel.updates.scores import CaseScore


def _scores(values: Sequence[float | None], first: int = 0) -> tuple[CaseScore, ...]:
    return tuple(CaseScore(f"case-{first + i}", {"cord": value}, {"cord": None}) for i, value in enumerate(values))


BASE = (0.70, 0.75, 0.80, 0.85, 0.90, 0.72, 0.78)


def _main(federated: Sequence[float | None], other: Sequence[float | None], claim: bool = True) -> Gain:
    return compare("hospital-a", "local", _scores(federated), _scores(other), claim)[0]


def test_a_hospital_that_gained() -> None:
    gain = _main([value + 0.02 + 0.001 * i for i, value in enumerate(BASE)], BASE)
    assert gain.verdict == "gained"
    assert gain.class_name is None
    assert gain.sentence.startswith("hospital-a gained: Dice +0.023 (95 % interval +0.02")
    assert gain.sentence.endswith("on 7 unseen cases, compared with training alone.")


def test_a_hospital_that_lost() -> None:
    gain = _main([value - 0.02 for value in BASE], BASE)
    assert gain.verdict == "lost"
    assert "\N{MINUS SIGN}0.020" in gain.sentence


def test_no_clear_difference_where_the_interval_holds_zero() -> None:
    gain = _main([value + (0.03 if i % 2 else -0.03) for i, value in enumerate(BASE)], BASE)
    assert gain.verdict == "no clear difference"
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < 0 < gain.high


def test_equal_models_show_no_clear_difference() -> None:
    assert _main(BASE, BASE).verdict == "no clear difference"


@pytest.mark.parametrize("count", [0, 1, 4])
def test_says_nothing_of_fewer_than_five_cases(count: int) -> None:
    gain = _main([value + 0.1 for value in BASE[:count]], BASE[:count])
    assert gain.verdict == "too few cases to say"
    assert gain.cases == count
    assert "too few cases to say" in gain.sentence


def test_says_nothing_where_the_run_may_claim_nothing() -> None:
    assert _main([value + 0.1 for value in BASE], BASE, claim=False).verdict == "too few cases to say"


def test_compares_only_cases_that_both_scored() -> None:
    mine, theirs = _scores(BASE, first=0), _scores(BASE, first=2)
    assert compare("hospital-a", "local", mine, theirs)[0].cases == len(BASE) - 2


def test_a_class_that_a_case_lacks_is_left_out_of_that_case() -> None:
    mine = [CaseScore(f"case-{i}", {"a": 0.9, "b": None if i else 0.5}, {}) for i in range(6)]
    theirs = [CaseScore(f"case-{i}", {"a": 0.8, "b": None if i else 0.5}, {}) for i in range(6)]
    overall, a, b = compare("hospital-a", "local", mine, theirs)
    assert (overall.cases, a.cases, b.cases) == (6, 6, 1)
    assert overall.difference == pytest.approx((0.05 + 5 * 0.1) / 6)
    assert (b.low, b.high, b.verdict) == (None, None, "too few cases to say")


def test_a_pooled_model_is_not_something_to_gain_over() -> None:
    gain = compare("hospital-a", "pooled", _scores(BASE), _scores([value + 0.01 for value in BASE]))[0]
    assert gain.verdict == "behind"
    assert gain.sentence.startswith("At hospital-a the federated model is behind: Dice")
    assert "centralised training" in gain.sentence


def test_signs_are_for_people() -> None:
    assert [signed(0.0214), signed(-0.004), signed(-0.0001), signed(None)] == [
        "+0.021",
        "\N{MINUS SIGN}0.004",
        "0.000",
        "\N{EN DASH}",
    ]
