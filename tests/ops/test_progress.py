"""The server's account of a run, and the time that is left."""

import json
from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.ops.progress import Progress, parse_progress, parse_step
from fedvoxel.ops.snapshot import Snapshot


def _progress(**changes: Any) -> Progress:
    values = {
        "round": 3,
        "rounds_planned": 12,
        "phase": "training",
        "started": 1000.0,
        "round_started": 1100.0,
        "round_seconds": [20.0, 30.0, 100.0],
        "sites": {"hospital-a": {"state": "training", "reason": None}},
        "validation": [{"round": 0, "mean_dice": 0.5, "sites": {"hospital-a": 0.5}}],
    }
    found = parse_progress(values | changes)
    assert found is not None
    return found


def test_time_left_is_the_usual_round_times_the_rounds_to_come() -> None:
    # Round 3 of 0..11: 10 s of the usual 30 s are over, and 8 rounds have not begun.
    assert _progress().seconds_left(1110.0) == pytest.approx(20.0 + 8 * 30.0)


def test_a_slow_round_counts_as_about_to_end() -> None:
    assert _progress().seconds_left(1900.0) == pytest.approx(8 * 30.0)


def test_a_clock_that_is_behind_the_servers_does_not_add_time() -> None:
    assert _progress().seconds_left(500.0) == pytest.approx(9 * 30.0)


def test_time_left_is_unknown_before_the_first_round_ended_and_none_after_the_last() -> None:
    assert _progress(round_seconds=[]).seconds_left(1110.0) is None
    assert _progress(phase="test").seconds_left(1110.0) == 0.0
    assert _progress(phase="done").seconds_left(1110.0) == 0.0
    assert _progress(round=11, phase="validation").seconds_left(1110.0) == pytest.approx(20.0)


def test_a_run_that_starts_has_no_round_yet() -> None:
    found = parse_progress({"rounds_planned": 2, "phase": "starting", "started": 1.0, "validation": [], "sites": {}})
    assert found is not None
    assert found.seconds_left(5.0) is None
    assert parse_progress({}) is None
    assert parse_progress(None) is None


def test_keys_of_a_newer_version_are_ignored() -> None:
    assert _progress(epsilon=1.0) == _progress()


@pytest.mark.parametrize("phase", ["contribution", "of_a_newer_version"])
def test_a_phase_between_the_rounds_leaves_the_time_as_it_is(phase: str) -> None:
    assert _progress(phase=phase).seconds_left(1110.0) == _progress().seconds_left(1110.0)


@pytest.mark.parametrize("change", [{"phase": "?"}, {"round": -1}, {"started": float("nan")}])
def test_refuses_what_makes_no_sense(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"the progress that the server reports is not valid: {next(iter(change))}"):
        _progress(**change)


def test_one_sites_nonsense_does_not_blind_the_view() -> None:
    assert parse_step({"step": "many", "steps": 0}) is None
    assert parse_step({}) is None
    step = parse_step({"step": 10, "steps": 42, "loss": 0.3, "event": "progress"})
    assert step is not None
    assert (step.step, step.steps, step.loss) == (10, 42, 0.3)


def test_a_snapshot_is_one_line_of_json() -> None:
    line = Snapshot("job-1", "name", "RUNNING", _progress(), note="two\nlines").to_json()
    assert "\n" not in line
    values = json.loads(line)
    assert values["progress"]["round_seconds"] == [20.0, 30.0, 100.0]
    assert values["finished"] is False
    assert Snapshot("job-1", "name", "FINISHED:ABNORMAL").finished
