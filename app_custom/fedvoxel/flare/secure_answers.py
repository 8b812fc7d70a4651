"""A site's answers in rounds of secure aggregation: FLARE's side of `updates.secure.member`."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from nvflare.apis.shareable import Shareable
from nvflare.app_common.abstract.fl_model import FLModel

from fedvoxel.config import json_of, load_json_config, parse_config
from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.flare.agreement import agreed_on, ring_of
from fedvoxel.flare.messages import (
    TASK_SECURE_CONFIRM,
    TASK_SECURE_KEYS,
    TASK_SECURE_REVEAL,
    TASK_SECURE_SHARES,
    result_reply,
)
from fedvoxel.records.chain import Chain
from fedvoxel.records.identity import load_identity
from fedvoxel.records.twofold import whole_copy, write_twofold
from fedvoxel.training.sum_codec import SumCodec
from fedvoxel.updates.compression.payload import as_array
from fedvoxel.updates.secure.attempts import SummedRound
from fedvoxel.updates.secure.config import SecureConfig
from fedvoxel.updates.secure.grid import flat
from fedvoxel.updates.secure.masked import MASKED
from fedvoxel.updates.secure.member import Member
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.secure.session import session_name
from fedvoxel.updates.secure.terms import Terms
from fedvoxel.updates.update import Arrays

Whole = Callable[[int], Mapping[str, NDArray[np.int64]]]
"""Returns a site's part of the sum in whole steps, none larger than the number that it is given."""


class SecureAnswers:
    """Takes part in one run's secure rounds; a round's secrets are in memory only, and go with it."""

    def __init__(self, kit: Path, folder: Path, task: str) -> None:
        """Takes the kit's folder, the run's folder in the site's state, named by its key, and the task's SHA-256."""
        self._kit, self._run_key, self._task = kit, folder.name, task
        self._summed = folder / "summed_rounds.json"
        # Held for one decision and its note only: a job process that was left behind must not stop the one after it.
        self._turns = Chain(self._summed)
        self._member: Member | None = None
        self._session, self._agreed, self._ring = "", b"", Ring(8)

    def answer(self, task_name: str, model: FLModel, terms: Terms) -> Shareable:
        """Answers one of the tasks around a round.

        Args:
            task_name: Which.
            model: The task's message.
            terms: What the hospital asks of sums that its updates go into.

        Raises:
            UpdateError: The message does not keep to the protocol, or asks what the hospital does not want.
            ConfigError: The job's setting is none.
            ConsortiumError: The kit's certificates cannot be read.
            LedgerError: The note of what was signed stays locked by another process.
        """
        answers: Mapping[str, Callable[[], dict[str, Any]]] = {
            TASK_SECURE_KEYS: partial(self._keys, model, terms),
            TASK_SECURE_SHARES: partial(self._shares, model),
            TASK_SECURE_CONFIRM: partial(self._confirmation, model),
            TASK_SECURE_REVEAL: lambda: {"revealed": _json(self._of(model).reveal(_dict(model, "confirmations")))},
        }
        return result_reply(answers[task_name](), {}, difference=False)

    def open(self, model: FLModel, arrays: Arrays, bits: int | None = None) -> None:
        """Makes sure, before anything is trained or charged, that this round's update can be masked.

        Args:
            model: The round's message.
            arrays: The model to train on.
            bits: The ring that the job's mechanism counts on; None takes the server's.

        Raises:
            UpdateError: It cannot: the site has not begun the round, too few have dealt, or the ring is another.
        """
        self._ring = ring_of(model)
        if bits is not None and self._ring.bits != bits:
            raise UpdateError(f"secure aggregation in a ring of {self._ring.bits} bits, expected {bits}")
        self._agreed = agreed_on(model, arrays)
        self._of(model).open(dict(model.meta["secure"]["dealt"]))

    def masked(self, model: FLModel, cases: int, whole: Whole) -> dict[str, NDArray[np.uint8]]:
        """Returns what leaves in the place of an update; an attempt at a round is masked once, whatever happens.

        Raises:
            UpdateError: See `Member.mask`, or another job process of this site has gone further.
            LedgerError: The note stays locked by another process.
        """
        member = self._of(model)
        values = flat(whole(self._ring.most(member.sites)))
        with self._turns.held():
            self._note(self._noted().masked(*_place(model), member.roster, member.stay, member.colluders))
        return {MASKED: as_array(member.mask(cases, values, self._ring, self._agreed))}

    def _keys(self, model: FLModel, terms: Terms) -> dict[str, Any]:
        asked = parse_config(SecureConfig, model.meta.get("config"), "the round's secure aggregation")
        self._noted().check_begins(*_place(model))
        self._session = self._session_of(model)
        self._member = Member(load_identity(self._kit / "startup"), self._session, asked, self._task, terms)
        return {"keys": _json(self._member.announce())}

    def _shares(self, model: FLModel) -> dict[str, Any]:
        # A roster that is refused ends this site's part in the attempt, whatever it is asked next.
        member, self._member = self._of(model), None
        shares = member.share(_list(model, "roster"))
        self._noted().check_roster(int(model.current_round or 0), member.roster, member.stay, member.colluders)
        self._member = member
        return {"shares": _json(shares)}

    def _confirmation(self, model: FLModel) -> dict[str, Any]:
        member, alive = self._of(model), _list(model, "alive")
        with self._turns.held():
            signing = self._noted().signing(*_place(model), alive)
            confirmation = member.confirm(alive)
            self._note(signing)
        return {"confirmation": _json(confirmation)}

    def _of(self, model: FLModel) -> Member:
        if self._member is None or self._session != self._session_of(model):
            raise UpdateError("a secure round that this site has not begun, or has lost")
        return self._member

    def _session_of(self, model: FLModel) -> str:
        return session_name(self._run_key, *_place(model))

    def _noted(self) -> SummedRound:
        """Returns what was noted last, in the file or in its copy: nothing that was signed is ever forgotten.

        A release before 0.2.0, put back for a while, has written the file alone.
        """
        if not self._summed.is_file():
            return SummedRound()
        what, copy = "the site's last sum", whole_copy(self._summed)
        notes = [] if copy is None else [parse_config(SummedRound, json_of(copy, what), what)]
        try:
            notes.append(load_json_config(SummedRound, self._summed, what))
        except ConfigError:
            if copy is None:
                raise
        return max(notes, key=lambda note: (note.last, note.attempt, note.signed is not None))

    def _note(self, summed: SummedRound) -> None:
        write_twofold(self._summed, summed.model_dump_json(indent=2).encode("utf-8"))


def _place(model: FLModel) -> tuple[int, int]:
    """Returns the round, and the number of the server's attempt, from 1; a server of release 0.1.0 tells none."""
    told = (model.meta.get("secure") or model.meta).get("attempt", 1)
    if isinstance(told, bool) or not isinstance(told, int) or told < 1:
        raise UpdateError("a secure round whose attempt is no number from 1")
    return int(model.current_round or 0), told


def weighed(codec: SumCodec, model: FLModel, difference: Arrays, cases: int, most: int) -> Mapping[str, Any]:
    """Returns an ordinary update's part of the sum: the difference times the cases, in the round's steps."""
    steps = {str(name): float(step) for name, step in model.meta["secure"]["steps"].items()}
    return codec.steps_of(difference, cases, (steps, most), int(model.current_round or 0), model.meta["accepted"])


def _list(model: FLModel, key: str) -> list[Any]:
    found = model.meta.get(key)
    if not isinstance(found, list):
        raise UpdateError(f"a secure round without {key}")
    return found


def _dict(model: FLModel, key: str) -> dict[str, Any]:
    found = model.meta.get(key)
    if not isinstance(found, dict):
        raise UpdateError(f"a secure round without {key}")
    return found


def _json(message: Any) -> Any:
    return message.model_dump(mode="json")
