"""Reads and writes the plain bytes inside a payload; whatever comes is read within bounds, or refused."""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError


class Reader:
    """Takes arrays off the front of a payload's content."""

    def __init__(self, content: bytes) -> None:
        """Starts at the first byte."""
        self._content, self._place = content, 0

    def take(self, dtype: str, count: int) -> NDArray[np.generic]:
        """Returns the next `count` values of a little-endian type.

        Raises:
            UpdateError: Fewer are left.
        """
        size = np.dtype(dtype).itemsize * count
        if size > len(self._content) - self._place:
            raise UpdateError("a payload that ends too early")
        values = np.frombuffer(self._content, dtype, count, self._place)
        self._place += size
        return values

    def finite(self, count: int) -> NDArray[np.float32]:
        """Returns the next `count` half-precision values as float32.

        Raises:
            UpdateError: Fewer are left, or one is not finite.
        """
        values = self.take("<f2", count).astype(np.float32)
        if not np.isfinite(values).all():
            raise UpdateError("a payload with values that are not finite")
        return values

    def end(self) -> None:
        """Checks that nothing is left.

        Raises:
            UpdateError: Something is.
        """
        if self._place != len(self._content):
            raise UpdateError("a payload with bytes that nobody asked for")


def half(values: NDArray[np.floating]) -> bytes:
    """Returns values in half precision, those beyond its range at its ends."""
    largest = float(np.finfo(np.float16).max)
    return bytes(np.clip(values, -largest, largest).astype("<f2").tobytes())


def pack_symbols(symbols: NDArray[np.uint8], base: int) -> bytes:
    """Returns symbols below `base`, as many in a byte as fit.

    A byte-wise entropy coder spends at least a bit on each byte; several symbols in one make that a fraction of a bit.
    """
    per_byte = symbols_per_byte(base)
    padded = np.zeros(-(-symbols.size // per_byte) * per_byte, np.uint8)
    padded[: symbols.size] = symbols
    weights = base ** np.arange(per_byte, dtype=np.uint16)
    packed: bytes = (padded.reshape(-1, per_byte) * weights).sum(1).astype(np.uint8).tobytes()
    return packed


def unpack_symbols(reader: Reader, count: int, base: int) -> NDArray[np.uint8]:
    """Returns `count` symbols that `pack_symbols` wrote.

    Raises:
        UpdateError: Bytes are missing, or hold what `pack_symbols` never writes.
    """
    per_byte = symbols_per_byte(base)
    packed = reader.take("u1", -(-count // per_byte)).astype(np.uint8)
    if packed.size and int(packed.max()) >= base**per_byte:
        raise UpdateError("a payload with symbols that do not exist")
    symbols = np.empty((packed.size, per_byte), np.uint8)
    for place in range(per_byte):
        packed, symbols[:, place] = np.divmod(packed, base)
    flat = symbols.reshape(-1)
    if flat[count:].any():
        raise UpdateError("a payload with symbols beyond its end")
    return flat[:count]


def symbols_per_byte(base: int) -> int:
    """Returns how many symbols below `base` (2 to 255) one byte holds."""
    count = 1
    while base ** (count + 1) <= 256:
        count += 1
    return count
