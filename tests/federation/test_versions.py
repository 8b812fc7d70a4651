"""Releases one apart understand one another; others are declined with the reason and the cure."""

from typing import Any

import pytest

from fedvoxel import __version__
from fedvoxel.federation import versions
from fedvoxel.federation.versions import BEFORE, SILENT, SPOKEN, Spoken, own_record, read_record, why_declined


def told(oldest: int, newest: int, package: str = "9.0.0") -> dict[str, Any]:
    """Returns what a participant tells that speaks this range of all kinds."""
    return {"package": package, "speaks": {key: {"oldest": oldest, "newest": newest} for key in SPOKEN}}


@pytest.fixture
def third(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has this side speak versions 2 and 3 of a round's messages, as a later release would."""
    monkeypatch.setattr(versions, "SPOKEN", {**SPOKEN, "rounds": Spoken(oldest=2, newest=3)})


def test_a_release_understands_itself_and_the_release_before() -> None:
    assert own_record().package == __version__ != BEFORE.package
    for kind in SPOKEN:
        assert why_declined(kind, "hospital-a", own_record().model_dump(mode="json")) is None
        assert why_declined(kind, "hospital-a", BEFORE.model_dump(mode="json")) is None


def test_no_kind_of_message_has_dropped_the_release_before() -> None:
    for kind, spoken in SPOKEN.items():
        assert spoken.oldest <= BEFORE.speaks[kind].newest <= spoken.newest


@pytest.mark.usefixtures("third")
@pytest.mark.parametrize(("oldest", "newest"), [(1, 2), (2, 2), (3, 4), (1, 9)])
def test_one_version_in_common_is_enough(oldest: int, newest: int) -> None:
    assert why_declined("rounds", "hospital-a", told(oldest, newest)) is None


@pytest.mark.usefixtures("third")
def test_who_is_too_old_is_told_to_update_and_who_is_too_new_makes_this_side_update() -> None:
    old = why_declined("rounds", "hospital-a", told(1, 1, "0.1.0"))
    assert old == (
        "declined: hospital-a runs FedVoxel 0.1.0, which speaks version 1 of rounds messages; release "
        f"{__version__} here speaks 2 to 3; update hospital-a"
    )
    new = why_declined("rounds", "hospital-b", told(4, 5, "0.9.0"))
    assert new and "runs FedVoxel 0.9.0" in new and "4 to 5" in new and new.endswith("the release before")
    assert why_declined("statistics", "hospital-a", told(1, 1)) is None


@pytest.mark.usefixtures("third")
def test_who_tells_nothing_runs_the_release_before_versions_were_told() -> None:
    assert read_record(None) == SILENT
    assert "runs FedVoxel 0.1.0" in str(why_declined("rounds", "hospital-a", None))


def test_a_kind_that_the_other_does_not_know_is_declined_and_one_that_only_it_knows_is_passed_over() -> None:
    other = told(1, 1)
    del other["speaks"]["calibration"]
    other["speaks"]["telepathy"] = {"oldest": 7, "newest": 7}
    assert "speaks no version of calibration" in str(why_declined("calibration", "hospital-a", other))
    assert why_declined("rounds", "hospital-a", other) is None


def test_a_later_record_may_say_more() -> None:
    assert read_record(told(1, 1) | {"protocol": "quic"}) == read_record(told(1, 1))


@pytest.mark.parametrize(
    "value",
    [
        "0.2.0",
        7,
        [],
        {},
        {"package": "0.2.0"},
        {"package": "0.2.0\nall is well", "speaks": {}},
        {"package": "x" * 5000, "speaks": {}},
        {"package": "0.2.0", "speaks": {"rounds": {"oldest": 3, "newest": 1}}},
        {"package": "0.2.0", "speaks": {"rounds": [1, 1]}},
        {"package": "0.2.0", "speaks": {f"kind_{'x' * n}": {"oldest": 1, "newest": 1} for n in range(30)} | {"A": 1}},
    ],
)
def test_an_unreadable_record_is_declined_and_not_repeated(value: Any) -> None:
    reason = why_declined("rounds", "hospital-a", value)
    assert reason == (
        f"declined: what hospital-a tells of its versions cannot be read; install release {__version__} there"
    )
