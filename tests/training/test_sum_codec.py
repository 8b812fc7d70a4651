from pathlib import Path

import numpy as np
import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.training.site_state import SiteState
from fedvoxel.training.sum_codec import SumCodec

UPDATE = {"w": np.full((3, 4), 0.3, np.float32)}
GRID = ({"w": 1.0}, 2)


def test_what_a_round_leaves_goes_into_the_next_that_counts(tmp_path: Path) -> None:
    codec = SumCodec(tmp_path, "cohort", "site-a", 1)
    first = codec.steps_of(UPDATE, 10, GRID, 0, None)
    assert (first["w"] == 2).all(), "three steps, of which two are allowed"
    second = codec.steps_of({"w": np.zeros((3, 4), np.float32)}, 10, GRID, 1, 0)
    assert (second["w"] == 1).all(), "the one that was left"
    third = codec.steps_of(UPDATE, 10, GRID, 2, 0)
    assert (third["w"] == 2).all(), "what was left before round 1 went into that one, and into no other"
    assert (codec.steps_of({"w": np.zeros((3, 4), np.float32)}, 10, GRID, 3, 2)["w"] == 1).all()


def test_a_round_that_is_begun_again_gets_the_same_steps(tmp_path: Path) -> None:
    """What the round before has left goes into both attempts alike, and into no later round."""
    codec, zeros = SumCodec(tmp_path, "cohort", "site-a", 1), {"w": np.zeros((3, 4), np.float32)}
    codec.steps_of(UPDATE, 10, GRID, 0, None)
    first = codec.steps_of(zeros, 10, GRID, 1, 0)
    again = SumCodec(tmp_path, "cohort", "site-a", 1).steps_of(zeros, 10, GRID, 1, 0)
    assert (first["w"] == 1).all() and np.array_equal(first["w"], again["w"])
    assert not codec.steps_of(zeros, 10, GRID, 2, 0)["w"].any(), "round 1 was not accepted"


def test_a_crash_before_what_entered_is_forgotten_does_not_count_it_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec, zeros = SumCodec(tmp_path, "cohort", "site-a", 1), {"w": np.zeros((3, 4), np.float32)}
    codec.steps_of(UPDATE, 10, GRID, 0, None)

    def dies(_: SiteState) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(SiteState, "forget", dies)
        with pytest.raises(RuntimeError):
            codec.steps_of(zeros, 10, GRID, 1, 0)
    again = SumCodec(tmp_path, "cohort", "site-a", 1)
    assert (again.steps_of(zeros, 10, GRID, 1, 0)["w"] == 1).all()
    assert not again.steps_of(zeros, 10, GRID, 2, 0)["w"].any(), "it entered round 1"


def test_rounding_is_right_on_average(tmp_path: Path) -> None:
    codec = SumCodec(tmp_path, "cohort", "site-a", 1)
    large = {"w": np.full(100_000, 0.025, np.float32)}
    assert abs(float(codec.steps_of(large, 10, ({"w": 1.0}, 5), 0, None)["w"].mean()) - 0.25) < 0.01


def test_what_is_no_update_is_refused(tmp_path: Path) -> None:
    codec = SumCodec(tmp_path, "cohort", "site-a", 1)
    for bad in (np.nan, 1e30):
        with pytest.raises(UpdateError):
            codec.steps_of({"w": np.array([bad], np.float32)}, 1, GRID, 0, None)
    for step in ({}, {"w": 0.0}, {"w": float("inf")}, {"w": -1.0}):
        with pytest.raises(UpdateError, match="a step for w"):
            codec.steps_of(UPDATE, 1, (step, 5), 0, None)
