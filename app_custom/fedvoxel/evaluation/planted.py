"""Plants bad sites into a simulation: wrong labels, copied cases, free riders. Shows whether they would be found.

A site with wrong labels or copied cases trains as every other does; only its cases differ. A free rider sends something
else than it trained. Nothing here can reach a real consortium: a job names none of it.
"""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.experiment import SiteCases
from fedvoxel.federation.rounds import Rounds
from fedvoxel.updates.update import Arrays, Update
from fedvoxel.volumes.plan import PreparedCase

FreeRiding = Literal["nothing", "tiny noise", "noise", "last change", "last model"]
"""What a free rider sends: zeros; noise of a thousandth of the last change; noise as long as it; the last change again;
what leads back to the last model."""


def with_wrong_labels(cases: SiteCases, share: float, random: np.random.Generator) -> SiteCases:
    """Returns a site where the labels of a share of the training cases are mirrored from front to back.

    That is what a volume and a label of different orientation look like: nobody notices without looking.
    """
    count = round(share * len(cases.training))
    wrong = set(random.permutation(len(cases.training))[:count].tolist())
    training = tuple(_mirrored(case) if index in wrong else case for index, case in enumerate(cases.training))
    return replace(cases, training=training)


def with_copies(cases: SiteCases, original: SiteCases) -> SiteCases:
    """Returns a site whose training cases are another's."""
    return replace(cases, training=original.training)


class FreeRider:
    """Sends something that costs nothing; a `Sends` of a simulation."""

    def __init__(self, kind: FreeRiding, random: np.random.Generator) -> None:
        """Starts without knowing any model; before it has seen two it sends tiny noise."""
        self._kind, self._random = kind, random
        self._last: Arrays | None = None

    def __call__(self, update: Update, rounds: Rounds) -> Update:
        """Returns what is sent in the place of `update`."""
        model, last = rounds.model, self._last
        self._last = model
        if self._kind == "nothing":
            return replace(update, arrays={name: np.zeros_like(array) for name, array in model.items()})
        if last is None:
            return replace(update, arrays=self._noise(model, 1e-3))
        change = {name: array - last[name] for name, array in model.items()}
        if self._kind == "last change":
            return replace(update, arrays=change)
        if self._kind == "last model":
            return replace(update, arrays={name: -array for name, array in change.items()})
        length = float(np.sqrt(sum(np.vdot(array, array) for array in change.values())))
        return replace(update, arrays=self._noise(model, length if self._kind == "noise" else length * 1e-3))

    def _noise(self, model: Arrays, length: float) -> dict[str, NDArray[np.float32]]:
        sigma = length / np.sqrt(sum(array.size for array in model.values()))
        return {name: self._random.normal(0, sigma, array.shape).astype(np.float32) for name, array in model.items()}


def _mirrored(case: PreparedCase) -> PreparedCase:
    """Mirrors the label along its second axis, from front to back in RAS."""
    return replace(case, label=np.ascontiguousarray(case.label[:, ::-1]))
