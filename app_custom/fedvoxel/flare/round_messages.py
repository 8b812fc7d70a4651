"""What the server sends for one round: the whole model, or the change to the one that the sites hold."""

from typing import Any, Literal

from fedvoxel.federation.outcome import MASKED
from fedvoxel.federation.rounds import Rounds
from fedvoxel.flare.model_messages import ModelMessages
from fedvoxel.updates.compression.config import AnyCodec


class RoundMessages(ModelMessages):
    """Makes the messages of the round that is open."""

    def __init__(self, state: Rounds, privacy: dict[str, Any] | None) -> None:
        """Takes the run's rounds and its privacy section, which the sites compare with their own."""
        self._state, config = state, state.config
        meta = {
            "validate": config.evaluate and state.round > 0,
            "privacy": privacy,
            "correction": config.correction and config.correction.model_dump(mode="json"),
            "accepted": dict(state.last_accepted),
            "up": state.up and state.up.model_dump(mode="json"),
            "down": state.down is not None,
        }
        super().__init__(state.broadcast, meta, current_round=state.round, total_rounds=config.num_rounds)

    @property
    def codecs(self) -> dict[Literal["up", "down"], str]:
        """Are the names of the codecs in use, by direction."""
        both: dict[Literal["up", "down"], AnyCodec | None] = {"up": self._state.up, "down": self._state.down}
        names: dict[Literal["up", "down"], str] = {way: codec.name for way, codec in both.items() if codec}
        return names | ({"up": f"{MASKED}, {self._state.scale.ring.bits} bits"} if self._state.scale else {})
