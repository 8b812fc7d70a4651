"""An honest site's answers pass; another run's, zeros, what was seen before, and more cases than before do not."""

from typing import Any

import numpy as np
import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.federation.outcome import ValidationScore
from fedvoxel.federation.vetting import Vetting
from fedvoxel.updates.correction import with_controls
from fedvoxel.updates.update import Arrays, Update, layout_of

MODEL = {"b": np.ones(3, np.float32), "w": np.full((2, 2), 2.0, np.float32)}
LAYOUT = layout_of(MODEL)


def _vetting(private: bool = False, **case_counts: int) -> Vetting:
    made = Vetting("a_run", case_counts, private)
    made.begins(MODEL)
    return made


def _arrays(value: float) -> dict[str, np.ndarray]:
    return {name: np.full_like(array, value) for name, array in MODEL.items()}


def _take(vetting: Vetting, arrays: Arrays, cases: int = 5, site: str = "a", index: int = 0) -> None:
    update = Update(arrays, cases)
    vetting.accept(site, update, vetting.check(site, update, layout_of(arrays)), index)


def test_new_updates_of_this_run_are_taken_round_after_round() -> None:
    vetting = _vetting()
    for index in range(3):
        vetting.check_named({"run_key": "a_run", "round": index}, index)
        for site in ("a", "b"):
            _take(vetting, _arrays(0.1 * (index + 1)), site=site, index=index)


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"run_key": "a_run"},
        {"run_key": "a_run", "round": 1},
        {"run_key": "b_run", "round": 2},
        {"run_key": "a_run", "round": 2.0},
        {"run_key": ["a_run"], "round": "2"},
    ],
)
def test_an_answer_to_something_else_is_refused(named: dict) -> None:
    with pytest.raises(UpdateError, match="expected one to round 2 of run a_run"):
        _vetting().check_named(named, 2)


@pytest.mark.parametrize("controls", [False, True])
def test_zeros_are_refused_whatever_travels_beside_them(controls: bool) -> None:
    zeros: Arrays = _arrays(0.0)
    with pytest.raises(UpdateError, match="zeros only"):
        _take(_vetting(), with_controls(zeros, _arrays(1.0)) if controls else zeros)


def test_what_the_server_sent_and_what_it_made_are_no_updates() -> None:
    vetting = _vetting()
    change = {"b": np.float32([0.25, 0.5, 0.75]), "w": np.full((2, 2), -0.5, np.float32)}
    after = {name: MODEL[name] + change[name] for name in MODEL}
    vetting.moved(0, MODEL, after)
    seen = {"model of round 0": MODEL, "model of round 1": after, "change of the global model in round 0": change}
    for said, arrays in seen.items():
        with pytest.raises(UpdateError, match=said):
            _take(vetting, arrays)
    _take(vetting, change | {"b": change["b"] + 1})


def test_a_sites_own_update_counts_once_and_a_refused_one_is_not_remembered() -> None:
    vetting = _vetting()
    _take(vetting, _arrays(0.5))
    with pytest.raises(UpdateError, match="own update of round 0"):
        _take(vetting, _arrays(0.5), index=1)
    with pytest.raises(UpdateError, match="own update of round 0"):
        _take(vetting, {name: array.astype(np.float64) for name, array in _arrays(0.5).items()}, index=1)
    vetting.check("a", Update(_arrays(0.75), 5), LAYOUT)
    _take(vetting, _arrays(0.75), index=1)


def test_cases_may_become_fewer_and_never_more() -> None:
    vetting = _vetting(b=4)
    for index, cases in enumerate((5, 4, 5)):
        _take(vetting, _arrays(index + 0.5), cases, index=index)
    with pytest.raises(UpdateError, match="began with 5 cases, got 6"):
        _take(vetting, _arrays(9.0), 6)
    with pytest.raises(UpdateError, match="the job gives this site 4 cases, got 5"):
        _take(vetting, _arrays(9.0), 5, site="b")
    _take(vetting, _arrays(9.0), 4, site="b")


def _weighed(vetting: Vetting, site: str, cases: int, trains_on: Any = None) -> int:
    return vetting.weighed(site, ValidationScore(cases=cases, dice={"organ": 0.5}), trains_on).cases


def test_a_score_weighs_no_more_than_its_site_does_in_the_model() -> None:
    vetting = _vetting(named=9)
    assert _weighed(vetting, "a", 100) == 100, "nobody has trained yet"
    for site, cases in {"a": 5, "b": 8, "c": 60}.items():
        _take(vetting, _arrays(cases / 100), cases, site)
    assert [_weighed(vetting, site, 2) for site in ("a", "b", "c", "new")] == [2] * 4, "an honest site's counts stay"
    assert [_weighed(vetting, site, 100_000) for site in ("a", "b", "c")] == [5, 8, 60]
    assert _weighed(vetting, "a", 100_000, trains_on=50) == 5, "what was accepted first counts"
    assert _weighed(vetting, "new", 100_000, trains_on=7) == 7
    for says in (None, 0, -1, True, "many", 1e9):
        assert _weighed(vetting, "only_evaluates", 100_000, says) == 8, "as the site in the middle"
    assert _weighed(vetting, "named", 9) == 9
    with pytest.raises(UpdateError, match="gives this site 9 cases, got a validation score of 10"):
        _weighed(vetting, "named", 10)


def test_under_a_privacy_section_nobodys_cases_are_known() -> None:
    vetting = _vetting(private=True)
    _take(vetting, _arrays(0.5), 1)
    assert _weighed(vetting, "a", 7, trains_on=1) == 7


def test_under_a_privacy_section_only_only_names_and_weight_are_looked_at() -> None:
    vetting = _vetting(private=True)
    for _ in range(2):
        _take(vetting, _arrays(0.0), 1)
    _take(vetting, MODEL, 1)
    for cases in (2, True, 1.0, None):
        with pytest.raises(UpdateError, match="every site counts as 1"):
            vetting.check("a", Update(_arrays(0.5), cases), LAYOUT)


@pytest.mark.parametrize("kind", [np.int64, object, np.bytes_])
def test_what_is_no_array_of_floats_is_left_to_the_sum(kind: type) -> None:
    assert _vetting().check("a", Update(MODEL | {"b": np.ones(3, kind)}, 5), LAYOUT)
