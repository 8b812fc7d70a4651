"""The masked message of a site: its number of cases, a checksum and its values, as one string of bytes.

    b"FVS" | protocol (1 byte) | bits (1 byte) | masked cases (8 bytes) | masked checksum (8 bytes) | masked values

Nothing in it can be told from random bytes but the first five. The checksum is a sum of the values with public random
coefficients: the sites' checksums add up to that of their sum, unless a message was masked or carried wrongly. It finds
mistakes; a site that sends false values with the checksum that goes with them is not found by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.updates.secure.masks import add_mask, derive_key
from fedvoxel.updates.secure.ring import Residues, Ring
from fedvoxel.updates.secure.session import PROTOCOL

MASKED = "fedvoxel.masked"
"""The name under which a masked message travels where FLARE wants named arrays."""

COUNTS = Ring(64)
"""Where numbers of cases and checksums are added up."""

_COUNTS, _HEAD_BYTES = 2, 5

_HEAD = b"FVS" + bytes([PROTOCOL])


@dataclass
class Sum:
    """Holds masked numbers to be added to in place: cases and checksum in `counts`, and values."""

    ring: Ring
    counts: Residues
    values: Residues

    def add(self, other: "Sum") -> None:
        """Adds another message."""
        self.counts += other.counts
        self.values += other.values

    def reduced(self) -> "Sum":
        """Returns it with everything inside its ring."""
        return Sum(self.ring, self.counts, self.ring.reduced(self.values))


def plain(ring: Ring, cases: int, values: NDArray[np.int64], roster: bytes) -> Sum:
    """Returns a message before it is masked; `roster` is the hash that everything in the round is bound to."""
    return Sum(ring, np.array([cases, checksum(values, roster)], COUNTS.dtype), ring.residues(values))


def add_masks(message: Sum, secret: bytes, bound: bytes, sign: int = 1) -> None:
    """Adds the masks that follow from a secret to a message in place, or takes them away.

    Args:
        message: Afterwards it has to be `reduced`.
        secret: A site's seed, or what a pair of sites shares.
        bound: What the masks are bound to; the same secret gives other masks where it differs.
        sign: 1 to add, -1 to take away.
    """
    add_mask(message.counts, COUNTS, derive_key(secret, "counts", bound), sign)
    add_mask(message.values, message.ring, derive_key(secret, "values", bound), sign)


def checksum(values: NDArray[np.int64], roster: bytes) -> int:
    """Returns the checksum of whole numbers modulo 2**64, with coefficients that follow from the roster's hash."""
    coefficients = np.zeros(values.size, "<u4")
    add_mask(coefficients, Ring(32), derive_key(roster, "checksum", b""))
    return int(np.sum(coefficients.astype(np.uint64) * values.astype(np.uint64), dtype=np.uint64))


def nothing(ring: Ring, size: int) -> Sum:
    """Returns an empty sum of `size` values."""
    return Sum(ring, np.zeros(_COUNTS, COUNTS.dtype), np.zeros(size, ring.dtype))


def write_masked(message: Sum) -> bytes:
    """Returns a message as bytes."""
    reduced = message.reduced()
    return _HEAD + bytes([message.ring.bits]) + COUNTS.pack(reduced.counts) + message.ring.pack(reduced.values)


def masked_bytes(ring: Ring, size: int) -> int:
    """Returns the bytes of a message of `size` values."""
    return _HEAD_BYTES + COUNTS.size_bytes(_COUNTS) + ring.size_bytes(size)


def read_masked(written: bytes, ring: Ring, size: int) -> Sum:
    """Reads a message of `size` values.

    Raises:
        UpdateError: It is none of this protocol, ring and size.
    """
    if written[: len(_HEAD)] != _HEAD:
        raise UpdateError("expected a masked update of this protocol, got something else")
    if written[len(_HEAD) : _HEAD_BYTES] != bytes([ring.bits]):
        raise UpdateError(f"an update masked in another ring, expected {ring.bits} bits")
    values = _HEAD_BYTES + COUNTS.size_bytes(_COUNTS)
    counts = COUNTS.unpack(written[_HEAD_BYTES:values], _COUNTS)
    return Sum(ring, counts, ring.unpack(written[values:], size))


def masked_of(arrays: Mapping[str, Any]) -> bytes | None:
    """Returns the masked message that stands where FLARE wants named arrays; None where arrays stand there.

    Raises:
        UpdateError: Something else stands beside it, or it is no message of this protocol.
    """
    if MASKED not in arrays:
        return None
    found = arrays[MASKED]
    if len(arrays) > 1 or not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.ndim != 1:
        raise UpdateError("expected a masked update and nothing beside it")
    written = found.tobytes()
    if written[: len(_HEAD)] != _HEAD:
        raise UpdateError("expected a masked update of this protocol, got something else")
    return written
