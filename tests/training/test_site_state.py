"""What a site keeps of its own counts when its update was accepted, and not before."""

from pathlib import Path

import numpy as np
import pytest

from fedvoxel.training.site_state import SiteState


def _arrays(value: float) -> dict[str, np.ndarray]:
    return {"w": np.full(2, value, np.float32)}


def _value(arrays) -> float | None:
    return float(arrays["w"][0]) if arrays else None


@pytest.mark.parametrize(("accepted", "counts"), [(2, 3.0), (1, 1.0), (None, None)])
def test_a_proposal_counts_only_once_its_round_was_accepted(tmp_path: Path, accepted, counts) -> None:
    state = SiteState(tmp_path, "brains")
    state.propose(0, _arrays(1.0))
    assert _value(state.begin(0)) == 1.0
    state.propose(2, _arrays(3.0))
    assert _value(state.latest()) == 3.0
    # A trainer's process that was killed meanwhile finds the same.
    assert _value(SiteState(tmp_path, "brains").begin(accepted)) == counts
    assert _value(state.begin(2)) == counts, "a proposal that was dropped does not come back"


def test_a_run_begins_with_nothing_that_an_earlier_one_has_left(tmp_path: Path) -> None:
    state = SiteState(tmp_path, "brains")
    state.propose(0, _arrays(1.0))
    state.begin(0)
    state.propose(1, _arrays(2.0))
    assert state.begin(None) == {} and list(tmp_path.iterdir()) == []


def test_cohorts_of_one_run_do_not_share(tmp_path: Path) -> None:
    one, other = SiteState(tmp_path, "a"), SiteState(tmp_path, "b.a")
    one.propose(0, _arrays(1.0))
    other.propose(0, _arrays(2.0))
    assert _value(one.begin(0)) == 1.0 and _value(other.begin(0)) == 2.0
