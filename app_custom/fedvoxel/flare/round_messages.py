"""What the server sends for one round: the whole model, or the change to the one that the sites hold."""

from typing import Any, Literal

from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from fedvoxel.federation.outcome import MASKED
from fedvoxel.federation.rounds import Rounds
from fedvoxel.flare.messages import NO_ARRAYS
from fedvoxel.updates.compression.config import AnyCodec
from fedvoxel.updates.compression.payload import PAYLOAD, as_array


class RoundMessages:
    """Makes the messages of the round that is open, and counts their bytes."""

    def __init__(self, state: Rounds, privacy: dict[str, Any] | None) -> None:
        """Takes the run's rounds and its privacy section, which the sites compare with their own."""
        self._state, self._privacy = state, privacy

    @property
    def codecs(self) -> dict[Literal["up", "down"], str]:
        """Are the names of the codecs in use, by direction."""
        both: dict[Literal["up", "down"], AnyCodec | None] = {"up": self._state.up, "down": self._state.down}
        names: dict[Literal["up", "down"], str] = {way: codec.name for way, codec in both.items() if codec}
        return names | ({"up": f"{MASKED}, {self._state.scale.ring.bits} bits"} if self._state.scale else {})

    def change(self) -> FLModel:
        """Returns the message for sites that hold the last model, or where there is no such codec, for all."""
        sent = self._state.broadcast
        if sent.base is None:
            return self.whole()
        if sent.payload is None:
            return FLModel(metrics=dict(NO_ARRAYS), **self._said(sent.base))
        params = {PAYLOAD: as_array(sent.payload)}
        return FLModel(params_type=ParamsType.FULL, params=params, **self._said(sent.base))

    def whole(self) -> FLModel:
        """Returns the message with the model itself."""
        return FLModel(params_type=ParamsType.FULL, params=dict(self._state.outgoing), **self._said(None))

    def bytes_down(self, asked: int, lacking: int) -> int:
        """Returns the bytes of what was sent, to so many sites at first and so many a second time."""
        whole = sum(array.nbytes for array in self._state.outgoing.values())
        return asked * self._state.broadcast.size_bytes + lacking * whole

    def _said(self, base: str | None) -> dict[str, Any]:
        state, config = self._state, self._state.config
        meta = {
            "validate": config.evaluate and state.round > 0,
            "privacy": self._privacy,
            "correction": config.correction and config.correction.model_dump(mode="json"),
            "accepted": dict(state.last_accepted),
            "up": state.up and state.up.model_dump(mode="json"),
            "down": state.down is not None,
            "base": base,
        }
        return {"meta": meta, "current_round": state.round, "total_rounds": config.num_rounds}
