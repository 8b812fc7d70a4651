"""The numbers of a run: right, complete, and under names that trackers take."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.federation.outcome import RoundRecord, RunOutcome, ValidationScore
from fedvoxel.federation.run_figures import end_figures, part, round_figures
from tests.sample_run import ROUNDS, failed_outcome, private_outcome, sample_outcome

MLFLOW_TAKES = re.compile(r"[A-Za-z0-9_./ -]{1,250}")
"""Source: MLflow's documentation of `log_metric`."""


def test_a_round_in_numbers() -> None:
    record = RoundRecord(
        round=3,
        seconds=31.5,
        contributed={"a": 10, "b": 30},
        missing={"c": "no answer"},
        loss={"a": 1.0, "b": 2.0, "d": 9.0},
        validation={
            "a": ValidationScore(cases=1, dice={"x": 0.5, "y": 0.7}),
            "b": ValidationScore(cases=3, dice={"x": 0.8, "y": None}),
            "c": ValidationScore(cases=0, dice={"x": None}),
        },
        bytes_up=100,
        secure_bytes_up=10,
        bytes_down=200,
        secure_bytes_down=20,
        contribution_bytes_down=5,
    )
    assert round_figures(record) == {
        "validation_dice": pytest.approx((0.6 + 3 * 0.8) / 4),
        "validation_dice/a": pytest.approx(0.6),
        "validation_dice/b": pytest.approx(0.8),
        "loss": pytest.approx((10 + 60) / 40),
        "loss/a": 1.0,
        "loss/b": 2.0,
        "loss/d": 9.0,
        "seconds": 31.5,
        "bytes_up": 110.0,
        "bytes_down": 225.0,
        "sites_contributed": 2.0,
        "sites_missing": 1.0,
        "sites_refused": 0.0,
    }


def test_what_nobody_knows_is_left_out() -> None:
    figures = round_figures(private_outcome().rounds[0])
    assert not [name for name in figures if name.startswith(("loss", "validation_dice"))]
    assert round_figures(failed_outcome().rounds[0])["sites_missing"] == 2


def test_epsilon_has_its_unit_in_its_name_and_comes_with_delta() -> None:
    outcome = private_outcome()
    assert outcome.guarantee
    assert end_figures(outcome) == {"epsilon_per_patient": outcome.guarantee.epsilon, "delta_per_patient": 1e-4}
    assert not [name for name in end_figures(sample_outcome()) if "epsilon" in name]


def test_a_run_under_way_has_no_end() -> None:
    values = dict(private_outcome()) | {"status": "unfinished", "reason": "goes on"}
    assert end_figures(RunOutcome.model_validate(values)) == {}


def test_the_test_of_each_site_and_class() -> None:
    outcome = sample_outcome()
    figures = end_figures(outcome)
    assert len(figures) == 8 and len(outcome.rounds) == ROUNDS and outcome.finished - outcome.started > timedelta(0)
    assert figures["test_dice/hospital-a/anterior"] == outcome.test["hospital-a"].classes["anterior"].dice_mean


@pytest.mark.parametrize("name", ["hospital-a", "kidney_left", "left kidney", "a.example"])
def test_a_plain_name_stays(name: str) -> None:
    assert part(name) == name


@given(st.lists(st.text(min_size=1, max_size=200), min_size=2, max_size=6, unique=True))
def test_other_names_are_taken_and_stay_apart(names: list[str]) -> None:
    made = [f"test_dice/{part(name)}/{part(name)}" for name in names]
    assert all(MLFLOW_TAKES.fullmatch(one) for one in made)
    assert len(set(made)) == len(names)


def test_an_escape_cannot_be_made_up() -> None:
    assert len({part("a("), part("a_000028"), part("a_00005f000028")}) == 3
    assert part("..") == "_00002e." and part("a/b") == "a_00002fb"
