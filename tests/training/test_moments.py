"""A round that is trained again, by this process or another, begins with the moments that it began with before."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fedvoxel.training.config import OptimizerConfig
from fedvoxel.training.moments import Moments
from fedvoxel.training.networks import build_optimizer
from fedvoxel.training.round_memory import RoundMemory

OPTIMIZERS = {
    "AdamW": {},
    "MuonAdamW": {},
    "SGD": {"momentum": 0.9},
    "NAdam": {},
    "RAdam": {},
    "Adam": {"amsgrad": True},
}
ROUNDS, INTERRUPTED = 4, 2


def _trained(folder: Path | None, name: str, restarts: bool, repeats: bool, carried: bool = True) -> np.ndarray:
    """Trains some rounds of a tiny network and returns its weights; one round is trained anew or by a new process."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv3d(4, 6, 1), torch.nn.Conv3d(6, 4, 1))
    data = torch.linspace(-1, 1, 32).reshape(1, 4, 2, 2, 2)
    config = OptimizerConfig(name=name, arguments=OPTIMIZERS[name], learning_rate=0.01)
    memory = RoundMemory(folder, "brains", "moments") if folder else None

    def begun() -> Moments:
        return Moments(lambda: build_optimizer(config, network.parameters()), carried, memory)

    moments = begun()
    for index in range(ROUNDS):
        before = [parameter.detach().clone() for parameter in network.parameters()]
        moments = begun() if restarts and index == INTERRUPTED else moments
        for _ in range(2 if repeats and index == INTERRUPTED else 1):
            with torch.no_grad():
                for parameter, value in zip(network.parameters(), before, strict=True):
                    parameter.copy_(value)
            optimizer = moments.begin(index)
            for _ in range(3):
                optimizer.zero_grad()
                (network(data) ** 2).mean().backward()
                optimizer.step()
            moments.end(index)
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in network.parameters()])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_round_that_was_interrupted_ends_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
    whole = _trained(folders[0], name, restarts=False, repeats=False)
    assert np.array_equal(whole, _trained(None, name, restarts=False, repeats=False))
    assert np.array_equal(whole, _trained(folders[1], name, restarts=True, repeats=False))
    assert np.array_equal(whole, _trained(folders[2], name, restarts=False, repeats=True))
    assert np.array_equal(whole, _trained(folders[3], name, restarts=True, repeats=True))
    assert not np.array_equal(whole, _trained(None, name, restarts=True, repeats=False)), "moments change nothing here"
    assert len(list(folders[3].iterdir())) == 2, "what the next attempt may need, and no more"


def test_moments_that_are_not_carried_are_not_kept(tmp_path: Path) -> None:
    _trained(tmp_path, "AdamW", restarts=False, repeats=False, carried=False)
    assert list(tmp_path.iterdir()) == []


def test_rounds_are_of_one_cohort_and_one_kind(tmp_path: Path) -> None:
    RoundMemory(tmp_path, "a", "moments").keep(0, {"w": np.ones(2, np.float32)})
    for cohort, kind in (("b.a", "moments"), ("a", "personal_start")):
        assert RoundMemory(tmp_path, cohort, kind).last_before(9) is None
    memory = RoundMemory(tmp_path, "a", "moments")
    assert memory.last_before(9) == 0 and memory.last_before(0) is None
    memory.forget()
    assert memory.last_before(9) is None
