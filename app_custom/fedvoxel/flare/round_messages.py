"""What the server sends for one round: the whole model, or the change to the one that the sites hold."""

from typing import Any

from fedvoxel.federation.round_codecs import Codecs, codecs_of
from fedvoxel.federation.rounds import Rounds
from fedvoxel.flare.model_messages import ModelMessages


class RoundMessages(ModelMessages):
    """Makes the messages of the round that is open."""

    def __init__(self, state: Rounds, privacy: dict[str, Any] | None, run_id: str) -> None:
        """Takes the run's rounds, its privacy section, which the sites compare with their own, and its id."""
        self._state, config = state, state.config
        meta = {
            "validate": config.evaluate and state.round > 0,
            "privacy": privacy,
            "run_id": run_id,
            "correction": config.correction and config.correction.model_dump(mode="json"),
            "accepted": dict(state.last_accepted),
            "up": state.up and state.up.model_dump(mode="json"),
            "down": state.down is not None,
        }
        super().__init__(state.broadcast, meta, current_round=state.round, total_rounds=config.num_rounds)

    @property
    def codecs(self) -> Codecs:
        """Are the names of the codecs in use, by direction."""
        return codecs_of(self._state)
