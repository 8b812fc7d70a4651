"""How a site's update leaves: as plain arrays, encoded, or masked as a part of a sum, as the server's message asks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.flare.kept_answer import KeptAnswer
from fedvoxel.flare.messages import result_reply
from fedvoxel.flare.secure_answers import SecureAnswers, weighed
from fedvoxel.flare.site_codec import SiteCodec
from fedvoxel.training.messages import Message
from fedvoxel.training.sum_codec import SumCodec
from fedvoxel.updates.correction import split_controls
from fedvoxel.updates.update import PUBLIC_WEIGHT, Arrays, layout_of

Ask = Callable[[Message], Message]
"""Has the site's trainer carry out one command."""


class SiteUpdates:
    """Makes a site's answers to a run's rounds, where no ledger stands between trainer and server."""

    def __init__(self, folder: Path, cohort: str, site: str, seed: int) -> None:
        """Takes the run's folder in the site's state, named by the run's key, and what codecs draw their seeds from."""
        self._run_key = folder.name
        self.codec = SiteCodec(folder, cohort, site, seed)
        self._sums = SumCodec(folder, cohort, site, seed)
        self._kept = KeptAnswer(folder, cohort)

    def answer(
        self, model: FLModel, ask: Ask, command: dict[str, Any], secure: SecureAnswers, basis: str | None
    ) -> Shareable:
        """Has a round trained, unless it was before, and returns the site's answer.

        Args:
            model: The round's message, with what the server has accepted of this site alone.
            ask: See `Ask`.
            command: What the trainer is told; what the server has accepted of this site goes into it.
            secure: Takes part in the round's secure aggregation, where it has one.
            basis: What the answer rests on besides the message; see `kept_answer.basis_of`.

        Raises:
            FedVoxelError: The trainer could not do it, or the message is not in order.
        """
        arrays = self.codec.model_of(model, lambda: ask(Message({"command": "initialize"})).arrays)
        if model.meta.get("secure") is not None:
            secure.open(model, arrays)
        asked = command | {"accepted": model.meta["accepted"]}
        answer = self._kept.of(basis, asked, arrays, lambda: ask(Message(asked, arrays)))
        told = public_header(answer)
        named = {"run_key": self._run_key, "round": int(model.current_round or 0)}
        if model.meta.get("secure") is None:
            return result_reply(told | named, self.codec.encoded(model, answer.arrays), difference=True)
        # Cases, loss and time of one site are not the server's to know; its scores of the common model are asked for.
        scores = {key: told[key] for key in ("validation",) if key in told}
        told = {"case_count": PUBLIC_WEIGHT} | scores | named
        return result_reply(told, self._masked(model, answer, arrays, secure), difference=True)

    def scored(self, model: FLModel, ask: Ask) -> Arrays:
        """Returns the arrays of the model that a message asks to be scored.

        Raises:
            FedVoxelError: This site does not hold what the message changes, or the message is not in order.
        """
        arrays = self.codec.model_of(model, lambda: ask(Message({"command": "initialize"})).arrays)
        return split_controls(arrays)[0]

    def _masked(self, model: FLModel, answer: Message, arrays: Arrays, secure: SecureAnswers) -> Any:
        # A site without training cases adds nothing to the sum, and hides that it does.
        zeros = {name: np.zeros(shape, np.float32) for name, shape in layout_of(arrays).items()}
        difference, cases = answer.arrays or zeros, int(answer.header.get("case_count", 0))
        return secure.masked(model, cases, lambda most: weighed(self._sums, model, difference, cases, most))


def public_header(answer: Message) -> dict[str, Any]:
    """Returns the values of a trainer's answer that are about the task."""
    return {key: value for key, value in answer.header.items() if key != "event"}
