"""Encodes a site's updates, and keeps what a codec leaves of each for the next, as `SiteState` keeps things."""

import zlib
from pathlib import Path

import numpy as np

from fedvoxel.training.site_state import SiteState
from fedvoxel.updates.compression.config import AnyCodec
from fedvoxel.updates.compression.payload import encode
from fedvoxel.updates.update import Arrays


class UpdateCodec:
    """Encodes one site's updates of a run."""

    def __init__(self, folder: Path, cohort: str, site: str, seed: int) -> None:
        """Takes the run's folder in the site's state, the cohort's and the site's name, and the job's seed."""
        self._memory = SiteState(folder, cohort, "codec_memory")
        self._seed = (seed, zlib.crc32(site.encode()))

    def encode(self, difference: Arrays, codec: AnyCodec, round_index: int, accepted: int | None) -> bytes:
        """Returns a round's difference as a payload.

        Args:
            difference: Local minus global.
            codec: What the server has asked for.
            round_index: 0-based round.
            accepted: The last round in which the server accepted this site's update.

        Raises:
            UpdateError: Values are not finite or absurd, or what was kept cannot be read.
        """
        memory = self._memory.begin(accepted)
        random = np.random.default_rng([*self._seed, round_index])
        payload, kept = encode(difference, codec, random, memory)
        self._memory.propose(round_index, kept)
        return payload
