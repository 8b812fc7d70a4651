"""What a trainer goes on from after it was killed: its optimiser's moments between rounds, and a point within a round.

A round's samples depend on seed, site, round and epoch alone, so a trainer that begins at a finished epoch with the
weights, moments and random state of then makes the same bits as one that was never killed. The files hold weights that
have seen the site's cases: they are the owner's alone.

A trainer that protects each patient keeps no point within a round: its noise is never drawn a second time for the same
step, and what was drawn is charged. Its moments it keeps. They are made of noised gradients alone, so that they are
post-processing of what was charged, as the model is, also where the round that made them was lost before it left.
"""

import hashlib
import io
import logging
import time
from pathlib import Path
from typing import Any

import torch

from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.canonical import sha256_of
from fedvoxel.training.site_state import MomentsKind, SiteState
from fedvoxel.training.weight_average import WeightAverage
from fedvoxel.updates.update import Arrays

_EVERY_S = 30.0
"""A point within a round is kept at the end of the first epoch after so many seconds."""

_MOMENTS_KEPT = 2
"""Rounds whose moments are kept: the last may have to be trained once more, from those of the one before."""

logger = logging.getLogger(__name__)


class KeptMoments:
    """Keeps an optimiser's moments from round to round, so that they outlive the process."""

    def __init__(self, state: SiteState, kind: MomentsKind = "moments") -> None:
        """Takes what the site keeps of its own, and which optimiser's moments these are."""
        self._state, self._kind = state, kind

    def restore(self, round_index: int, optimizer: torch.optim.Optimizer) -> None:
        """Gives a new optimiser the moments with which a round begins, where an earlier round has left any."""
        earlier = {index: path for index, path in self._state.moments(self._kind).items() if index < round_index}
        moments = _read(earlier[max(earlier)]) if earlier else None
        if moments:
            optimizer.load_state_dict(moments)

    def keep(self, round_index: int, optimizer: torch.optim.Optimizer) -> None:
        """Keeps the moments after a round."""
        _write(self._state.moments_file(round_index, self._kind), optimizer.state_dict())
        kept = self._state.moments(self._kind)
        for index in sorted(kept, reverse=True)[_MOMENTS_KEPT:]:
            kept[index].unlink(missing_ok=True)


class RoundCheckpoint:
    """Keeps the last finished epoch of the round that is being trained."""

    def __init__(self, file: Path) -> None:
        """Takes where it is kept."""
        self._file, self._key = file, ""
        self._kept_s = 0.0

    def open(self, model: Arrays, **round_values: Any) -> None:
        """Begins a round, or goes on with it if it is the one that is kept.

        Args:
            model: What the round trains from.
            round_values: JSON values in which rounds may differ.
        """
        digest = hashlib.sha256(sha256_of(round_values).encode())
        for name in sorted(model):
            digest.update(name.encode())
            digest.update(model[name].tobytes())
        self._key, self._kept_s = digest.hexdigest(), time.monotonic()

    def restore(
        self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage, scaler: Any
    ) -> tuple[int, float]:
        """Puts everything as it was after the last epoch that is kept.

        Returns:
            The steps done, and the sum of their losses; zeros where nothing of this round is kept.
        """
        kept = _read(self._file)
        if kept is None or kept["key"] != self._key:
            self._file.unlink(missing_ok=True)
            return 0, 0.0
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        average.values = [value.to(next(network.parameters()).device) for value in kept["average"]]
        scaler.load_state_dict(kept["scaler"])
        torch.set_rng_state(kept["random"])
        if kept["cuda_random"]:
            torch.cuda.set_rng_state_all(kept["cuda_random"])
        logger.info("event=round_goes_on steps=%d", kept["steps"])
        return kept["steps"], kept["loss"]

    def keep(
        self,
        steps: int,
        loss: float,
        network: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        average: WeightAverage,
        scaler: Any,
    ) -> None:
        """Keeps a finished epoch, unless one was kept just before.

        Args:
            steps: Steps done in the round.
            loss: Sum of their losses.
            network: Has the weights.
            optimizer: Has the moments.
            average: The moving average of the weights.
            scaler: Scales the loss.
        """
        if time.monotonic() - self._kept_s < _EVERY_S:
            return
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        done = {"key": self._key, "steps": steps, "loss": loss, "average": average.values}
        random = {"random": torch.get_rng_state(), "cuda_random": cuda}
        states = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}
        _write(self._file, done | random | states)
        self._kept_s = time.monotonic()


def _write(path: Path, value: Any) -> None:
    """Writes what training can do without: a full disk costs what could have been gone on from, and no round."""
    stream = io.BytesIO()
    torch.save(value, stream)
    try:
        write_bytes(path, stream.getvalue(), mode=0o600)
    except OSError as error:
        logger.warning("event=not_kept errno=%s", error.errno)


def _read(path: Path) -> Any:
    """Returns what was written; None where there is nothing, or nothing that can be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except Exception as error:  # torch's own errors for a file that is no longer whole are many
        logger.warning("event=kept_file_unreadable type=%s", type(error).__name__)
        return None
