"""What sites and server tell each other around a round of secure aggregation."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fedvoxel.errors import FedVoxelError, UpdateError
from fedvoxel.flare.messages import refusal_of
from tests.fuzz.mutation import mutated_bytes, mutated_value, plain
from tests.fuzz.target import Target, UnwantedError
from tests.updates.secure.secure_sites import AGREED, Consortium

_BAD = "site-1"
_Lie = tuple[str, Any]


@cache
def _said() -> dict[str, Any]:
    """What the bad site says in each stage of an honest round; keys are drawn anew in every round."""
    round_ = Consortium(4)
    round_.whole_round()
    collector = round_.collector
    model = collector._announced[_BAD], collector._shares[_BAD], collector._revealed[_BAD]
    announced, shares, revealed = (one.model_dump(mode="json") for one in model)
    return {
        "announce": announced,
        "share": shares,
        "confirm": {"signature": collector._confirmed[_BAD]},
        "reveal": revealed,
    }


@st.composite
def _lies(draw: st.DrawFn) -> _Lie:
    """A stage, and what the bad site says there: a message whose own, or whose fresh, values were edited."""
    stage = draw(st.sampled_from(("announce", "share", "mask", "confirm", "reveal")))
    if stage == "mask":
        return stage, draw(mutated_bytes((bytes(121),)))
    origins = (_said()[stage],)
    return stage, plain(draw(mutated_value(origins)))


def _mixed(fresh: Any, lie: Any) -> Any:
    """Returns a fresh message with what the lie changed; a stale one would be refused for that alone."""
    return {**fresh, **{key: value for key, value in lie.items() if key not in fresh or type(value) is not str}}


def _tell(lie: _Lie, folder: Path) -> None:
    """One site lies in one stage; the others have to get their sum, or be told that there is none."""
    stage, said = lie
    round_ = Consortium(4)
    collector, member = round_.collector, round_.members[_BAD]
    refused: UpdateError | None = None
    gone: set[str] = set()
    acts = {
        "announce": lambda: collector.add_announcement(_BAD, _fresh(member.announce(), said)),
        "share": lambda: collector.add_shares(_BAD, _fresh(member.share(_roster(collector)), said)),
        "mask": lambda: collector.add_masked(_BAD, _xor(_masked(round_), said)),
        "confirm": lambda: collector.add_confirmation(_BAD, _fresh(member.confirm(collector.alive), said)),
        "reveal": lambda: collector.add_reveal(_BAD, _fresh(member.reveal(collector.confirmations()), said)),
    }
    for step in ("announce", "share", "mask", "confirm", "reveal"):
        getattr(round_, step)({*gone, _BAD} if step == stage else gone)
        if step == stage:
            try:
                acts[step]()
            except UpdateError as error:
                refused = error
                refusal_of(error).encode()
                if step in ("announce", "share", "mask"):
                    gone.add(_BAD)
    try:
        _, values = collector.total(AGREED)
    except UpdateError as error:
        raise UpdateError("no sum") from error
    honest = round_.sum_of(collector.alive)
    if not np.array_equal(values, honest):
        raise UnwantedError("a sum that is not that of the sites in it")
    if refused is not None:
        raise refused


def _roster(collector: Any) -> list[Any]:
    return [each.model_dump(mode="json") for each in collector._roster.values()]


def _fresh(message: Any, said: Any) -> Any:
    honest = json.loads(json.dumps(message.model_dump(mode="json")))
    return _mixed(honest, said) if isinstance(said, dict) and set(said) != set(honest) | {""} else said


def _masked(round_: Consortium) -> bytes:
    return round_.written[_BAD]


def _xor(honest: bytes, edited: bytes) -> bytes:
    """Returns a fresh masked message with the edit that was made to a blank one."""
    padded = edited.ljust(len(honest), b"\0") if len(edited) <= len(honest) else edited
    return bytes(one ^ other for one, other in zip(honest.ljust(len(padded), b"\0"), padded, strict=True))[
        : max(len(edited), 1)
    ]


# ------------------------------------------------------------------ what the server tells a site


_STAGES = ("share", "open", "confirm", "reveal")


@st.composite
def _edits(draw: st.DrawFn) -> tuple[str, Any]:
    stage = draw(st.sampled_from(_STAGES))
    round_ = _SERVER[stage]
    return stage, plain(draw(mutated_value((round_,))))


def _server_words() -> dict[str, Any]:
    round_ = Consortium(3)
    round_.announce()
    roster = round_.collector.roster()
    for name in round_.collector.sites:
        round_.collector.add_shares(name, round_.members[name].share(roster).model_dump(mode="json"))
    dealt = round_.collector.dealt()
    words = {"share": roster, "open": dealt, "confirm": list(round_.names)}
    for index, name in enumerate(dealt):
        round_.members[name].open(dealt)
        written = round_.members[name].mask(10 + index, round_.values[name], round_.ring, AGREED)
        round_.collector.add_masked(name, written)
    round_.confirm()
    return {**words, "reveal": round_.collector.confirmations()}


_SERVER = _server_words()


def _obey(order: tuple[str, Any], folder: Path) -> None:
    """A site is told something strange by the server, in the place of what belongs there."""
    stage, said = order
    round_ = Consortium(3)
    round_.announce()
    roster = round_.collector.roster()
    member = round_.members[_BAD]
    if stage == "share":
        member.share(_list(said))
        return
    for name in round_.collector.sites:
        round_.collector.add_shares(name, round_.members[name].share(roster).model_dump(mode="json"))
    if stage == "open":
        member.open(_dict(said))
        return
    member.open(round_.collector.dealt())
    member.mask(1, round_.values[_BAD], round_.ring, AGREED)
    if stage == "confirm":
        member.confirm(_list(said))
        return
    member.confirm(list(round_.names))
    member.reveal(_dict(said))


def _list(said: Any) -> Any:
    """Is the check that `flare.secure_answers` makes."""
    if not isinstance(said, list):
        raise UpdateError("no list")
    return said


def _dict(said: Any) -> Any:
    if not isinstance(said, dict):
        raise UpdateError("no object")
    return said


TARGETS = (
    Target("what_a_site_says", "messages", _lies(), _tell, (UpdateError,)),
    Target("what_the_server_says", "messages", _edits(), _obey, (FedVoxelError,)),
)
