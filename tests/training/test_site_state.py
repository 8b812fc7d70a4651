"""What a site keeps of its own counts when its update was accepted, and not before."""

from pathlib import Path

import numpy as np
import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.training.round_memory import RoundMemory
from fedvoxel.training.site_state import STATE_KINDS, SiteState, StateKind


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


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x15
    path.write_bytes(content)


@pytest.mark.parametrize("kind", STATE_KINDS)
@pytest.mark.parametrize("ending", ["npz", "npz.hashed"])
def test_one_damaged_byte_costs_nothing(tmp_path: Path, kind: StateKind, ending: str) -> None:
    state = SiteState(tmp_path, "brains", kind)
    state.propose(0, _arrays(1.0))
    _damage(tmp_path / f"{kind}_0.brains.{ending}")
    assert _value(state.latest()) == 1.0
    assert _value(state.begin(0)) == 1.0
    state.propose(1, _arrays(2.0))
    assert _value(state.begin(1)) == 2.0
    _damage(tmp_path / f"{kind}.brains.{ending}")
    assert _value(state.begin(1)) == 2.0


def test_what_is_damaged_in_both_files_says_what_to_do(tmp_path: Path) -> None:
    state = SiteState(tmp_path, "brains", "codec_memory")
    state.propose(0, _arrays(1.0))
    state.begin(0)
    for ending in ("npz", "npz.hashed"):
        _damage(tmp_path / f"codec_memory.brains.{ending}")
    with pytest.raises(UpdateError, match=r"codec_memory\.brains\.npz in .* with its copy: give the job a new run_key"):
        state.begin(0)


@pytest.mark.parametrize("ending", ["npz", "npz.hashed"])
def test_one_damaged_byte_of_what_is_carried_costs_nothing(tmp_path: Path, ending: str) -> None:
    memory = RoundMemory(tmp_path, "brains", "sum_entered")
    for index in range(3):
        memory.keep(index, _arrays(float(index)))
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"sum_entered_1", "sum_entered_2"}
    _damage(tmp_path / f"sum_entered_2.brains.{ending}")
    assert _value(memory.read(2)) == 2.0
    memory.forget()
    assert not list(tmp_path.iterdir())
