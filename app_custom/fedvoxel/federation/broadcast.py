"""What the server sends to the sites: the change to the model that they hold, written with a codec.

Server and sites hold the same model H_r, bit for bit. For the next round the server writes M_{r+1} - H_r, the way from
there to its exact model, and all add what was written: what a codec leaves out is part of the next way.

Source: Tang et al., "DoubleSqueeze", ICML 2019, section 3 (the server's own error feedback).
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from fedvoxel.federation.snapshot import Group, Snapshot, random_state
from fedvoxel.updates.compression.config import AnyCodec
from fedvoxel.updates.compression.payload import as_array, decode, encode
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import to_bytes


def fingerprint(arrays: Arrays) -> str:
    """Returns the SHA-256 of named arrays."""
    return hashlib.sha256(to_bytes(arrays)).hexdigest()


def moved(held: Arrays, payload: bytes) -> dict[str, NDArray[np.float32]]:
    """Returns what a site holds after a payload, the same bits everywhere.

    Raises:
        UpdateError: The payload is not in order, or does not fit what is held.
    """
    change = decode(payload, {name: array.shape for name, array in held.items()})
    return {name: held[name] + change[name] for name in held}


class Broadcast:
    """Holds what the sites hold, and the bytes that bring them there."""

    def __init__(self, arrays: Arrays, codec: AnyCodec | None, seed: int = 0) -> None:
        """Starts with arrays that, with a codec, the sites make themselves: the job's seed gives the first model."""
        self.held = dict(arrays)
        self.payload: bytes | None = None
        """None where the sites hold the model already, or get it whole."""
        self.base: str | None = fingerprint(self.held) if codec else None
        """What a site has to hold for the payload to help it; None where everybody gets the whole model."""
        self._random = np.random.default_rng(seed)
        self._factors: dict[str, NDArray[np.float32]] = {}

    @property
    def size_bytes(self) -> int:
        """Is the size of what a site is sent that holds the base: nothing, the payload, or the whole model."""
        return self.whole_bytes if self.base is None else len(self.payload or b"")

    @property
    def whole_bytes(self) -> int:
        """Is the size of what a site is sent that does not hold the base."""
        return sum(array.nbytes for array in self.held.values())

    def arrived(self) -> None:
        """Notes that the sites were sent what is held: the next message about it need not bring it again."""
        if self.base is not None:
            self.base, self.payload = fingerprint(self.held), None

    def publish(self, arrays: Arrays, codec: AnyCodec | None) -> None:
        """Moves what is held towards `arrays`; without a codec all the way, with the arrays themselves.

        Raises:
            UpdateError: The way is not finite or absurdly long.
        """
        if codec is None:
            self.held, self.payload, self.base = dict(arrays), None, None
            return
        self.base = fingerprint(self.held)
        way = {name: array - self.held[name] for name, array in arrays.items()}
        self.payload, kept = encode(way, codec, self._random, self._factors)
        self._factors = {name: array for name, array in kept.items() if name.startswith("q:")}
        self.held = moved(self.held, self.payload)

    def snapshot(self) -> Snapshot:
        """Returns what is held, how the sites get there, and what the codec goes on with."""
        arrays: dict[str, Group] = {"held": self.held, "factors": self._factors}
        if self.payload is not None:
            arrays["payload"] = {"payload": as_array(self.payload)}
        return Snapshot({"base": self.base, "random": random_state(self._random)}, arrays)

    def restore(self, kept: Snapshot) -> None:
        """Takes all of that back."""
        self.base, self._random.bit_generator.state = kept.values["base"], kept.values["random"]
        self.held, self._factors = dict(kept.arrays["held"]), dict(kept.arrays["factors"])
        self.payload = kept.arrays["payload"]["payload"].tobytes() if "payload" in kept.arrays else None
