"""The words of a claim: whole or not at all, and never a smaller number than was computed."""

import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.privacy.guarantee import ACCOUNTANT, NO_GUARANTEE, Guarantee, added

CLAIM = {
    "unit": "patient",
    "epsilon": 7.88701,
    "delta": 1e-3,
    "neighbouring": "add or remove one patient",
    "adversary": "sees everything that the site sends",
    "composition": "18 rounds of 10 steps",
}


def test_one_sentence_says_everything_and_rounds_epsilon_up() -> None:
    said = Guarantee(**CLAIM).said()
    assert said == (
        "(ε = 7.8871, δ = 0.001)-differential privacy of each patient (add or remove one patient) against one who "
        f"sees everything that the site sends, over 18 rounds of 10 steps, by {ACCOUNTANT}."
    )


@pytest.mark.parametrize(("epsilon", "shown"), [(8.0, "ε = 8,"), (1e-9, "ε = 0.0001,"), (2e7, "ε = 20000000,")])
def test_epsilon_is_never_shown_smaller_than_it_is(epsilon: float, shown: str) -> None:
    assert shown in Guarantee(**(CLAIM | {"epsilon": epsilon})).said()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": float("inf")}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 1.0}, "delta"),
        ({"unit": "scan"}, "unit"),
        ({"neighbouring": "add or remove one hospital"}, "goes with"),
        ({"neighbouring": "replace one patient"}, "neighbouring"),
        ({"adversary": ""}, "adversary"),
    ],
)
def test_a_claim_that_is_not_whole_is_none(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(Guarantee, CLAIM | change, "the claim")


@pytest.mark.parametrize("missing", ["unit", "epsilon", "delta", "neighbouring", "adversary", "composition"])
def test_nothing_can_be_left_out(missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        parse_config(Guarantee, {key: value for key, value in CLAIM.items() if key != missing}, "the claim")


def test_deltas_are_added_as_they_are_written() -> None:
    assert added([1e-4] * 10) == 1e-3 and sum([1e-4] * 10) != 1e-3
    assert added([]) == 0


def test_without_accounting_the_words_are_these() -> None:
    assert NO_GUARANTEE == "no formal guarantee"
