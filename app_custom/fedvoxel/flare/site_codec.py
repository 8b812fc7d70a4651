"""A site's side of compressed rounds: which model the server's message brings it to, and how its update leaves."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvflare.app_common.abstract.fl_model import FLModel
from pydantic import ValidationError

from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.broadcast import fingerprint, moved
from fedvoxel.flare.messages import LACKS_MODEL
from fedvoxel.training.update_codec import UpdateCodec
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.compression.payload import PAYLOAD, as_array, payload_of
from fedvoxel.updates.correction import with_controls
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import load_weights, save_weights


class SiteCodec:
    """Keeps, in the run's folder in the site's state, the model that the server knows this site to hold."""

    def __init__(self, folder: Path, cohort: str, site: str, seed: int) -> None:
        """Takes where to keep it, and what seeds the codec's random choices."""
        self._held = folder / f"held_model.{cohort}.npz"
        self._updates = UpdateCodec(folder, cohort, site, seed)

    def model_of(self, message: FLModel, initial: Callable[[], Arrays]) -> Arrays:
        """Returns the arrays to train on, or to score.

        Args:
            message: A round's task, or one that asks for scores.
            initial: Makes the weights that the job's seed gives.

        Raises:
            ConfigError: This site does not hold what the message changes, and says so to be sent the whole.
            UpdateError: The message's payload is not in order.
        """
        base, arrays = message.meta.get("base"), message.params or {}
        payload = payload_of(arrays)
        if base is None and payload is None:
            if message.meta.get("down") and arrays:
                save_weights(self._held, arrays)
            return arrays
        held = self._own(message, initial)
        if fingerprint(held) != base:
            raise ConfigError(LACKS_MODEL)
        model = held if payload is None else moved(held, payload)
        save_weights(self._held, model)
        return model

    def encoded(self, message: FLModel, difference: Arrays) -> Mapping[str, NDArray[Any]]:
        """Returns what leaves in the place of a difference, as the server has asked for in the round's message.

        Raises:
            ConfigError: The codec is not one that this site knows.
        """
        if message.meta.get("up") is None or not difference:
            return difference
        try:
            codec = READ_CODEC.validate_python(message.meta["up"])
        except ValidationError:
            raise ConfigError("the server asks for a codec that this site does not know; install its version") from None
        index, accepted = int(message.current_round or 0), message.meta["accepted"]
        return {PAYLOAD: as_array(self._updates.encode(difference, codec, index, accepted))}

    def _own(self, message: FLModel, initial: Callable[[], Arrays]) -> Arrays:
        if message.current_round:
            try:
                return load_weights(self._held)
            except UpdateError:
                return {}
        arrays = initial()
        if (message.meta.get("correction") or {}).get("name") != "scaffold":
            return arrays
        return with_controls(arrays, {name: np.zeros_like(array) for name, array in arrays.items()})
