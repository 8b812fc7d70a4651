"""The moments of MuonAdamW are in its two parts: whoever keeps its state keeps theirs."""

import io

import torch

from fedvoxel.training.muon import MuonAdamW


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv3d(4, 6, 1), torch.nn.Conv3d(6, 4, 1))


def _steps(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(3):
        optimizer.zero_grad()
        (network(torch.linspace(-1, 1, 32).reshape(1, 4, 2, 2, 2)) ** 2).mean().backward()
        optimizer.step()


def test_an_optimiser_that_takes_a_state_back_goes_on_bit_for_bit() -> None:
    whole, again, empty = _network(), _network(), _network()
    first = MuonAdamW(whole.parameters(), 0.01)
    _steps(whole, first)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    for network in (again, empty):
        network.load_state_dict(whole.state_dict())
    second, third = MuonAdamW(again.parameters(), 0.01), MuonAdamW(empty.parameters(), 0.01)
    second.load_state_dict(torch.load(file, weights_only=True))
    for network, optimizer in ((whole, first), (again, second), (empty, third)):
        _steps(network, optimizer)
    pairs = list(zip(whole.parameters(), again.parameters(), empty.parameters(), strict=True))
    assert all(torch.equal(one, other) for one, other, _ in pairs)
    assert not all(torch.equal(one, other) for one, _, other in pairs), "moments change nothing here"
