"""An optimiser's moments: anew each round, carried in memory, or kept as well, so that a round can be trained again."""

from collections.abc import Callable

import numpy as np
import torch

from fedvoxel.training.muon import MuonAdamW
from fedvoxel.training.round_memory import RoundMemory
from fedvoxel.updates.update import Arrays

_NUMBER = "number:"
"""Begins the name of what is a plain number in the optimiser's state, and no tensor."""

_NEVER = -1


class Moments:
    """Gives each round its optimiser."""

    def __init__(self, build: Callable[[], torch.optim.Optimizer], carried: bool, memory: RoundMemory | None) -> None:
        """Takes how an optimiser is built, and whether its moments live on.

        Args:
            build: Makes one with zero moments.
            carried: Whether moments live on from round to round.
            memory: Keeps them for a process that trains the round again, or the one after; None keeps them here only.
        """
        self._build, self._carried, self._memory = build, carried, memory
        self.optimizer = build()
        """Is the one of the round that is trained, or was last."""
        self._ended: int | None = None

    def begin(self, round_index: int) -> torch.optim.Optimizer:
        """Returns the optimiser that a round begins with.

        Raises:
            UpdateError: What was kept is damaged.
        """
        if not self._carried:
            self.optimizer = self._build()
        elif self._memory:
            before = self._memory.last_before(round_index)
            if before != self._ended:
                self.optimizer = self._build()
                if before is not None:
                    _load(self.optimizer, self._memory.read(before))
            # Until the round has ended, what is in memory is of no round.
            self._ended = _NEVER
        return self.optimizer

    def end(self, round_index: int) -> None:
        """Keeps the moments that a round has ended with."""
        if self._carried and self._memory:
            self._memory.keep(round_index, _arrays(self.optimizer))
            self._ended = round_index


def _parts(optimizer: torch.optim.Optimizer) -> list[torch.optim.Optimizer]:
    return optimizer.parts if isinstance(optimizer, MuonAdamW) else [optimizer]


def _arrays(optimizer: torch.optim.Optimizer) -> Arrays:
    found = {}
    for part, each in enumerate(_parts(optimizer)):
        for index, state in each.state_dict()["state"].items():
            for key, value in state.items():
                name = f"{part}:{index}:{key}"
                if isinstance(value, torch.Tensor):
                    found[name] = value.detach().cpu().numpy()
                else:
                    found[_NUMBER + name] = np.asarray(value)
    return found


def _load(optimizer: torch.optim.Optimizer, arrays: Arrays) -> None:
    states: list[dict[int, dict[str, object]]] = [{} for _ in _parts(optimizer)]
    for name, array in arrays.items():
        part, index, key = name.removeprefix(_NUMBER).split(":")
        value = array.item() if name.startswith(_NUMBER) else torch.from_numpy(array.copy())
        states[int(part)].setdefault(int(index), {})[key] = value
    for each, state in zip(_parts(optimizer), states, strict=True):
        each.load_state_dict(each.state_dict() | {"state": state})
