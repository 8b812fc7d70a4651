"""The rounds' state machine: quorum, refusals, best model, early stopping."""

import numpy as np
import pytest

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.other_settings import other_settings
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.reply_values import read_validation
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.updates.update import Update

INITIAL = {"w": np.zeros(3, np.float32)}


def _update(value: float, cases: int = 10) -> Update:
    return Update({"w": np.full(3, value, np.float32)}, cases)


def _rounds(**changes) -> Rounds:
    return Rounds(RoundsConfig(**({"num_rounds": 5, "min_sites": 2} | changes)), INITIAL)


def _score(rounds: Rounds, dice: float) -> ValidationScore:
    return read_validation(rounds.config, {"cases": 4, "dice": {"organ": dice}})


def _run_round(rounds: Rounds, value: float, dice: float | None = None) -> None:
    for site in ("a", "b"):
        rounds.add(site, _update(value))
        if dice is not None:
            rounds.add_validation(site, _score(rounds, dice))
    rounds.close_round()


def test_a_round_moves_by_the_case_weighted_mean() -> None:
    rounds = _rounds()
    rounds.add("a", _update(1.0, cases=30))
    rounds.add("b", _update(-1.0, cases=10))
    rounds.close_round()
    np.testing.assert_allclose(rounds.model["w"], 0.5)
    assert rounds.round == 1


def test_a_round_without_quorum_changes_nothing() -> None:
    rounds = _rounds()
    rounds.add("a", _update(1.0))
    with pytest.raises(UpdateError, match="1 of the 2 sites"):
        rounds.close_round()
    np.testing.assert_array_equal(rounds.model["w"], INITIAL["w"])
    assert rounds.round == 0


def test_a_site_counts_once_in_a_round() -> None:
    rounds = _rounds()
    rounds.add("a", _update(1.0))
    with pytest.raises(UpdateError, match="second update"):
        rounds.add("a", _update(1.0))
    assert rounds.accepted == 1


@pytest.mark.parametrize("cases", [0, -3, 10**12, 2.5, True, None])
def test_an_absurd_weight_is_refused_and_the_site_may_not_own_the_mean(cases) -> None:
    rounds = _rounds(max_cases_per_site=1000)
    with pytest.raises(UpdateError, match="absurd weight"):
        rounds.add("a", Update({"w": np.ones(3, np.float32)}, cases))
    assert rounds.accepted == 0


def test_the_best_model_is_the_one_that_was_scored_best() -> None:
    rounds = _rounds(num_rounds=3)
    _run_round(rounds, 1.0)
    after_first = rounds.model["w"].copy()
    _run_round(rounds, 1.0, dice=0.9)
    _run_round(rounds, 1.0, dice=0.7)
    rounds.add_validation("a", _score(rounds, 0.8))
    rounds.score_model()
    assert rounds.finished
    assert (rounds.best_round, rounds.best_score) == (0, 0.9)
    np.testing.assert_array_equal(rounds.best_model["w"], after_first)


def test_patience_ends_a_run_that_gets_no_better() -> None:
    rounds = _rounds(num_rounds=50, patience=2)
    _run_round(rounds, 1.0)
    for dice in (0.5, 0.4):
        _run_round(rounds, 1.0, dice=dice)
        assert not rounds.out_of_patience
    _run_round(rounds, 1.0, dice=0.45)
    assert rounds.out_of_patience
    assert rounds.best_round == 0


@pytest.mark.parametrize(
    "bad", [None, {}, {"cases": 3, "dice": {"organ": 1.5}}, {"cases": 3, "dice": {"organ": float("nan")}}]
)
def test_a_malformed_score_is_refused(bad) -> None:
    rounds = _rounds()
    with pytest.raises(UpdateError, match="validation score"):
        read_validation(rounds.config, bad)


def test_a_score_that_the_job_does_not_ask_for_is_refused() -> None:
    with pytest.raises(UpdateError, match="nobody asked for"):
        _score(_rounds(evaluate=False), 0.9)


def test_the_mean_dice_weighs_cases_and_skips_the_unknown() -> None:
    scores = {
        "a": ValidationScore(cases=3, dice={"x": 0.8, "y": 0.6}),
        "b": ValidationScore(cases=1, dice={"x": 0.5, "y": None}),
        "c": ValidationScore(cases=0, dice={"x": None}),
    }
    assert mean_dice(scores) == pytest.approx((3 * 0.7 + 0.5) / 4)
    assert mean_dice({}) is None


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(ConfigError, match="num_round: Extra inputs"):
        parse_config(RoundsConfig, {"num_round": 3}, "the job")


def test_a_model_of_nan_is_no_start() -> None:
    with pytest.raises(UpdateError, match="non-finite"):
        Rounds(RoundsConfig(num_rounds=1), {"w": np.array([np.nan], np.float32)})


@pytest.mark.parametrize(
    "other",
    [
        {"aggregation": {"name": "median"}},
        {"server_optimizer": {"name": "momentum"}},
        {"server_optimizer": {"name": "plain", "learning_rate": 0.5}},
    ],
)
@pytest.mark.parametrize("rule", [{"name": "scaffold"}, {"name": "feddyn", "alpha": 0.1}])
def test_a_correction_goes_with_plain_averaging_only(rule, other) -> None:
    with pytest.raises(ConfigError, match="is made for aggregation 'mean'"):
        parse_config(RoundsConfig, {"num_rounds": 2, "min_sites": 5, "correction": rule} | other, "rounds")


@pytest.mark.parametrize("other", [{"patience": 2}, {"compression": {"guard_dice": 0.1}}])
def test_what_goes_by_scores_does_not_go_without_them(other) -> None:
    with pytest.raises(ConfigError, match="go by the sites' scores"):
        parse_config(RoundsConfig, {"num_rounds": 2, "evaluate": False} | other, "rounds")
    assert parse_config(RoundsConfig, {"num_rounds": 2} | other, "rounds")


def test_what_a_job_would_cost_without_scores_is_told_of_a_guarded_one_too() -> None:
    section = {"num_rounds": 2, "patience": 2, "compression": {"up": {"name": "int8"}, "guard_dice": 0.1}}
    settings = {other.words: other.values for other in other_settings(RoundsConfig.model_validate(section))}
    changed = {key.removeprefix("rounds."): value for key, value in settings["no scores"].items()}
    made = RoundsConfig.model_validate(section | changed)
    assert not made.evaluate and made.compression.up and made.compression.up.name == "int8"


def test_case_counts_do_not_go_with_sums() -> None:
    section = {"num_rounds": 2, "secure_aggregation": {"bits": 16}}
    with pytest.raises(ConfigError, match="cannot do case_counts"):
        parse_config(RoundsConfig, section | {"case_counts": {"hospital-a": 60}}, "rounds")
    assert parse_config(RoundsConfig, section, "rounds").secure_aggregation


def test_a_round_remembers_whose_update_it_took_once_it_is_committed() -> None:
    rounds = _rounds()
    rounds.add("a", _update(1.0))
    assert rounds.last_accepted == {}
    rounds.add("b", _update(1.0))
    rounds.close_round()
    rounds.add("b", _update(1.0))
    rounds.add("c", _update(1.0))
    rounds.close_round()
    assert rounds.last_accepted == {"a": 0, "b": 1, "c": 1}


def test_with_a_selection_only_the_last_model_can_be_the_best() -> None:
    rounds = _rounds(num_rounds=3, selection={"name": "random"})
    _run_round(rounds, 1.0)
    _run_round(rounds, 1.0, dice=0.9)
    _run_round(rounds, 1.0, dice=0.7)
    assert rounds.best_round is None and len(rounds.validation) == 2
    rounds.add_validation("a", _score(rounds, 0.6))
    rounds.score_model()
    assert (rounds.best_round, rounds.best_score) == (2, 0.6)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"patience": 2}, "patience null"),
        ({"compression": {"down": {"name": "int8"}}}, "every site in every round"),
        ({"compression": {"guard_dice": 0.1}}, "every site in every round"),
    ],
)
def test_what_needs_every_site_does_not_go_with_a_selection(other, said) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(RoundsConfig, {"num_rounds": 2, "selection": {"name": "random"}} | other, "rounds")


@pytest.mark.parametrize(
    ("other", "said"),
    [({"aggregation": {"name": "median"}, "min_sites": 3}, "write aggregation mean"), ({"evaluate": False}, "score")],
)
def test_contributions_need_means_and_scores(other, said) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(RoundsConfig, {"num_rounds": 2, "contribution": {"method": "shapley"}} | other, "rounds")
    agreement = {"num_rounds": 2, "contribution": {"method": "agreement"}, "evaluate": False}
    assert parse_config(RoundsConfig, agreement, "rounds").contribution
