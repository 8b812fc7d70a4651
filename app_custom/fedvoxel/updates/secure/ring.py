"""Whole numbers modulo 2**bits: what masked values are, and how they become bytes.

No overflow. Each of n sites adds a whole number of magnitude at most m = floor((2**(bits - 1) - 1) / n), so that the
sum lies in [-n m, n m], inside [-(2**(bits - 1) - 1), 2**(bits - 1) - 1]; of the numbers that agree with it modulo
2**bits it is the only one there, and `centred` returns exactly it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError

Residues = NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Ring:
    """Is the ring of whole numbers modulo 2**bits; `bits` from 8 to 32, or 64."""

    bits: int

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Is the type that holds residues; its own wrap-around is a multiple of the ring's."""
        return np.dtype("<u2" if self.bits <= 16 else "<u4" if self.bits <= 32 else "<u8")

    def most(self, sites: int) -> int:
        """Returns the largest magnitude that each of `sites` may add; 0 where they are too many for this ring."""
        return ((1 << (self.bits - 1)) - 1) // sites

    def residues(self, values: NDArray[np.int64]) -> Residues:
        """Returns whole numbers as residues."""
        return self.reduced(values.astype(np.uint64).astype(self.dtype))

    def reduced(self, residues: Residues) -> Residues:
        """Returns what is left modulo 2**bits of numbers that wrapped around at their type's end."""
        if self.bits == 8 * self.dtype.itemsize:
            return residues
        found: Residues = residues & self.dtype.type(2**self.bits - 1)
        return found

    def centred(self, residues: Residues) -> NDArray[np.int64]:
        """Returns the whole numbers of least magnitude, in [-2**(bits - 1), 2**(bits - 1) - 1]."""
        if self.bits == 64:
            return residues.astype(np.uint64).view(np.int64)
        values = residues.astype(np.int64)
        values[values >= 2 ** (self.bits - 1)] -= 2**self.bits
        return values

    def size_bytes(self, count: int) -> int:
        """Returns the bytes of `count` packed residues."""
        whole, rest = divmod(self.bits, 8)
        return whole * count + rest * -(-count // 8)

    def pack(self, residues: Residues) -> bytes:
        """Returns residues as bytes: their low bytes one after another, and then one plane for each bit above them."""
        whole, rest = divmod(self.bits, 8)
        if not rest and self.dtype.itemsize == whole:
            return residues.tobytes()
        low = np.ascontiguousarray(residues.view(np.uint8).reshape(-1, self.dtype.itemsize)[:, :whole])
        planes = [np.packbits((residues >> self.dtype.type(8 * whole + bit)) & 1 == 1) for bit in range(rest)]
        return low.tobytes() + b"".join(plane.tobytes() for plane in planes)

    def unpack(self, packed: bytes, count: int) -> Residues:
        """Returns `count` residues.

        Raises:
            UpdateError: There are more or fewer bytes than these take.
        """
        if len(packed) != self.size_bytes(count):
            raise UpdateError(f"masked values of {len(packed)} bytes, expected {self.size_bytes(count)}")
        whole, rest = divmod(self.bits, 8)
        if not rest and self.dtype.itemsize == whole:
            return np.frombuffer(packed, self.dtype).copy()
        parts = np.zeros((count, self.dtype.itemsize), np.uint8)
        parts[:, :whole] = np.frombuffer(packed, np.uint8, whole * count).reshape(count, whole)
        residues: Residues = parts.view(self.dtype).reshape(count)
        for bit in range(rest):
            plane = np.frombuffer(packed, np.uint8, -(-count // 8), whole * count + bit * -(-count // 8))
            set_bits = np.unpackbits(plane, count=count).astype(self.dtype)
            residues |= set_bits << self.dtype.type(8 * whole + bit)
        return residues
