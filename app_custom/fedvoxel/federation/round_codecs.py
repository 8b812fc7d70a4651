"""How a round's messages are written, in the words of its record."""

from typing import Literal

from fedvoxel.federation.outcome import MASKED
from fedvoxel.federation.rounds import Rounds
from fedvoxel.updates.compression.config import AnyCodec

Codecs = dict[Literal["up", "down"], str]


def codecs_of(state: Rounds) -> Codecs:
    """Returns the names of the codecs that are in use in the open round, by direction."""
    both: dict[Literal["up", "down"], AnyCodec | None] = {"up": state.up, "down": state.down}
    names: Codecs = {way: codec.name for way, codec in both.items() if codec}
    return names | ({"up": f"{MASKED}, {state.scale.ring.bits} bits"} if state.scale else {})
