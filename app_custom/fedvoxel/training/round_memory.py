"""What a site carries from round to round whatever the server accepts: a personal model, what went into a secure sum.

A round that was interrupted is trained again, perhaps by another process. It then has to begin with what was carried
into it the first time. So what each round ends with is in a file of its own, and the one before it stays beside it.
"""

import re
from pathlib import Path
from typing import Literal, get_args

from fedvoxel.records.twofold import drop_twofold
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import keep_weights, kept_weights

CarriedKind = Literal["personal_start", "sum_entered"]
CARRIED_KINDS: tuple[CarriedKind, ...] = get_args(CarriedKind)


class RoundMemory:
    """Holds named arrays by the round that ended with them."""

    def __init__(self, folder: Path, cohort: str, kind: CarriedKind) -> None:
        """Takes the run's folder in the site's state, and the cohort's name, which no path can be."""
        self._folder, self._cohort, self._kind = folder, cohort, kind

    def last_before(self, round_index: int) -> int | None:
        """Returns the last round before this one that something is kept of."""
        return max((index for index in self._found() if index < round_index), default=None)

    def read(self, round_index: int) -> Arrays:
        """Returns what a round has ended with.

        Raises:
            UpdateError: The file is missing, or neither it nor its copy is what this package wrote.
        """
        return kept_weights(self._path(round_index))

    def keep(self, round_index: int, arrays: Arrays) -> None:
        """Keeps what a round has ended with, and of all others the last one before it."""
        keep_weights(self._path(round_index), arrays)
        before = self.last_before(round_index)
        for index in self._found():
            if index not in (before, round_index):
                drop_twofold(self._path(index))

    def forget(self) -> None:
        """Drops all of it: another run begins in the same folder."""
        for index in self._found():
            drop_twofold(self._path(index))

    def _path(self, round_index: int) -> Path:
        return self._folder / f"{self._kind}_{round_index}.{self._cohort}.npz"

    def _found(self) -> list[int]:
        name = re.compile(rf"{self._kind}_(\d+)\.{re.escape(self._cohort)}\.npz")
        found = (name.fullmatch(path.name) for path in self._folder.iterdir())
        return [int(match[1]) for match in found if match]
