"""Puts a site's update into the whole steps of a secure sum, and keeps what is left of it for the next round."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedvoxel.training.round_memory import RoundMemory
from fedvoxel.training.site_state import SiteState
from fedvoxel.updates.secure.grid import Steps, to_steps
from fedvoxel.updates.update import Arrays, check_values


class SumCodec:
    """Encodes one site's updates of a run."""

    def __init__(self, folder: Path, cohort: str, site: str, seed: int) -> None:
        """Takes the run's folder in the site's state, the cohort's and the site's name, and the job's seed."""
        self._memory = SiteState(folder, cohort, "sum_memory")
        self._entered = RoundMemory(folder, cohort, "sum_entered")
        self._seed = (seed, zlib.crc32(site.encode()), 1)

    def steps_of(
        self, difference: Arrays, cases: int, grid: tuple[Steps, int], round_index: int, accepted: int | None
    ) -> Mapping[str, NDArray[np.int64]]:
        """Returns `cases` times the difference in whole steps.

        Args:
            difference: Local minus global.
            cases: The site's training cases.
            grid: Width of a step by array name, and the largest number of them.
            round_index: 0-based round.
            accepted: The last round whose sum this site's update was in.

        Raises:
            UpdateError: Values are not finite or absurd, or what was kept cannot be read.
        """
        check_values(difference)
        left = self._left(round_index, accepted)
        weighed = {
            name: array * np.float32(cases) + left.get(name, np.float32(0)) for name, array in difference.items()
        }
        steps, most = grid
        whole, kept = to_steps(weighed, steps, most, np.random.default_rng([*self._seed, round_index]))
        self._memory.propose(round_index, kept)
        return whole

    def _left(self, round_index: int, accepted: int | None) -> Arrays:
        """Returns what rounds before have left, for this round alone, however often it is begun.

        What enters the sums of two rounds can be told from their difference. Two attempts at one round are of the same
        sites, or only one of them is ever unmasked; see `updates.secure.attempts`.
        """
        if self._entered.last_before(round_index + 1) == round_index:
            # The process may have died between the two: what has entered this round must enter no later one.
            self._memory.forget()
            return self._entered.read(round_index)
        left = self._memory.begin(accepted)
        self._entered.keep(round_index, left)
        self._memory.forget()
        return left
