"""How a site answers a round under a privacy section: made sure that it can train, charged, trained, kept, and named.

A run is charged whole before its first round is trained, and nothing is given back. So what would make training fail
anyway is found out before: a trainer that could not read its cases or build its network, a model of another layout.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.flare.messages import result_reply
from fedvoxel.flare.secure_answers import SecureAnswers
from fedvoxel.flare.site_codec import SiteCodec
from fedvoxel.privacy.share_grid import RING_BITS
from fedvoxel.training.messages import Message
from fedvoxel.updates.update import PUBLIC_WEIGHT, Arrays, Layout, check_layout, layout_of

if TYPE_CHECKING:
    from fedvoxel.flare.private_rounds import PrivateRounds

Ask = Callable[[Message], Message]
"""Has the site's trainer carry out one command."""


class PrivateAnswers:
    """Answers a run's rounds with the names of releases, and with nothing else."""

    def __init__(self, codec: SiteCodec) -> None:
        """Knows no layout yet; `codec` reads what the server sends, and writes what leaves."""
        self._codec = codec
        self._layout: Layout | None = None

    def answer(self, rounds: "PrivateRounds", model: FLModel, ask: Ask, secure: SecureAnswers) -> Shareable:
        """Trains a round, unless its release lies on disk already, and answers with the release's id.

        Args:
            rounds: What stands between the trainer and the cohort's ledger, by the policy as it is now.
            model: The round's message.
            ask: See `Ask`.
            secure: Takes part in the round's secure aggregation, where it has one.

        Raises:
            FedVoxelError: The trainer could not do it, or the budget does not cover it; see `PrivateRounds.release`.
            UpdateError: The model is not the job's; nothing was charged.
            ConfigError: This site does not hold what the message changes; nothing was charged.
        """
        if self._layout is None:
            self._layout = layout_of(ask(Message({"command": "initialize"}, {})).arrays)
        layout = self._layout
        arrays = self._codec.model_of(model, lambda: ask(Message({"command": "initialize"}, {})).arrays)
        check_layout(arrays, layout)
        index, num_rounds = int(model.current_round or 0), int(model.total_rounds or 0)
        zeros = {name: np.zeros(shape, dtype=np.float32) for name, shape in layout.items()}
        message = Message(_command(rounds) | {"round": index, "num_rounds": num_rounds}, arrays)

        def train() -> tuple[Arrays, int]:
            trained = ask(message)
            # A hospital without a training case answers as if it were not there: with zeros, not with an error.
            return cast(Arrays, trained.share) or trained.arrays or zeros, int(trained.header.get("steps", 0))

        def mask(part: Mapping[str, NDArray[np.int64]]) -> Mapping[str, NDArray[np.uint8]]:
            # Where the job trains some parameters only, the others' part is nothing.
            whole = {name: np.zeros(shape, np.int64) for name, shape in layout.items()} | dict(part)
            return secure.masked(model, PUBLIC_WEIGHT, lambda most: whole)

        masked = model.meta.get("secure") is not None
        if masked:
            secure.open(model, arrays, RING_BITS)
        encode = partial(self._codec.encoded, model)
        release_id = rounds.release(index, num_rounds, train, mask if masked else None, encode)
        return result_reply({"release_id": release_id}, {}, difference=False)


def _command(rounds: "PrivateRounds") -> dict[str, object]:
    """Returns what the trainer is told: to add noise for each patient, or to train plainly and to score nothing."""
    if rounds.config.unit == "patient":
        return {"command": "train_share" if rounds.config.shared_noise else "train_private"}
    return {"command": "train", "validate": False, "correction": None, "accepted": None}
