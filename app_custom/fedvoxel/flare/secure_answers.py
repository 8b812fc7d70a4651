"""A site's answers in rounds of secure aggregation: FLARE's side of `updates.secure.member`."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.flare.messages import (
    TASK_SECURE_CONFIRM,
    TASK_SECURE_KEYS,
    TASK_SECURE_REVEAL,
    TASK_SECURE_SHARES,
    result_reply,
)
from fedvoxel.privacy.in_sums import InSums
from fedvoxel.training.sum_codec import SumCodec
from fedvoxel.updates.compression.payload import as_array
from fedvoxel.updates.secure.config import SecureConfig
from fedvoxel.updates.secure.grid import flat
from fedvoxel.updates.secure.identity import load_identity
from fedvoxel.updates.secure.masked import MASKED
from fedvoxel.updates.secure.member import Member
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.secure.session import session_name
from fedvoxel.updates.update import Arrays

Whole = Callable[[int], Mapping[str, NDArray[np.int64]]]
"""Returns a site's part of the sum in whole steps, none larger than the number that it is given."""


class SecureAnswers:
    """Takes part in one run's secure rounds; a round's secrets are in memory only, and go with it."""

    def __init__(self, startup: Path, run_key: str) -> None:
        """Takes the kit's `startup/` folder, which holds the site's certificate and key."""
        self._startup, self._run_key = startup, run_key
        self._member: Member | None = None
        self._session = ""

    def answer(self, task_name: str, model: FLModel, policy: InSums | None) -> Shareable:
        """Answers one of the tasks around a round.

        Args:
            task_name: Which.
            model: The task's message.
            policy: What the hospital asks of sums that its updates go into.

        Raises:
            UpdateError: The message does not keep to the protocol, or asks what the hospital does not want.
        """
        answers: Mapping[str, Callable[[], dict[str, Any]]] = {
            TASK_SECURE_KEYS: partial(self._keys, model, policy),
            TASK_SECURE_SHARES: lambda: {"shares": _json(self._of(model).share(_list(model, "roster")))},
            TASK_SECURE_CONFIRM: lambda: {"confirmation": _json(self._of(model).confirm(_list(model, "alive")))},
            TASK_SECURE_REVEAL: lambda: {"revealed": _json(self._of(model).reveal(dict(model.meta["confirmations"])))},
        }
        return result_reply(answers[task_name](), {}, difference=False)

    def masked(self, model: FLModel, cases: int, whole: Whole) -> dict[str, NDArray[np.uint8]]:
        """Returns what leaves in the place of an update.

        Raises:
            UpdateError: See `Member.mask`.
        """
        said, member = model.meta["secure"], self._of(model)
        ring = _ring(said)
        values = flat(whole(ring.most(member.sites)))
        return {MASKED: as_array(member.mask(dict(said["dealt"]), cases, values, ring))}

    def _keys(self, model: FLModel, policy: InSums | None) -> dict[str, Any]:
        asked = parse_config(SecureConfig, model.meta.get("config"), "the round's secure aggregation")
        self._session = session_name(self._run_key, int(model.current_round or 0))
        limits = (policy.least_sites, policy.partners) if policy else (0, None)
        self._member = Member(load_identity(self._startup), self._session, asked, *limits)
        return {"keys": _json(self._member.announce())}

    def _of(self, model: FLModel) -> Member:
        if self._member is None or self._session != session_name(self._run_key, int(model.current_round or 0)):
            raise UpdateError("a secure round that this site has not begun, or has lost")
        return self._member


def weighed(codec: SumCodec, model: FLModel, difference: Arrays, cases: int, most: int) -> Mapping[str, Any]:
    """Returns an ordinary update's part of the sum: the difference times the cases, in the round's steps."""
    steps = {str(name): float(step) for name, step in model.meta["secure"]["steps"].items()}
    return codec.steps_of(difference, cases, (steps, most), int(model.current_round or 0), model.meta["accepted"])


def _ring(said: Mapping[str, Any]) -> Ring:
    bits = said.get("bits")
    if not isinstance(bits, int) or not 8 <= bits <= 32:
        raise ConfigError("secure aggregation in a ring that this site does not know")
    return Ring(bits)


def _list(model: FLModel, key: str) -> list[Any]:
    found = model.meta.get(key)
    if not isinstance(found, list):
        raise UpdateError(f"a secure round without {key}")
    return found


def _json(message: Any) -> Any:
    return message.model_dump(mode="json")
