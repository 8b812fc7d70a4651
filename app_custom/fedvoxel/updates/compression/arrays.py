"""The codecs of one array: each writes values to bytes, and reads them back as the server will."""

import math
from collections.abc import Callable, MutableMapping

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.updates.compression.config import AnyCodec, Blockwise, Half, LowRank, RandomK, Stepped, TopK
from fedvoxel.updates.compression.stream import Reader, half, pack_symbols, unpack_symbols

Values = NDArray[np.float32]
Shape = tuple[int, ...]

FEWEST_VALUES = 256
"""Smaller arrays (biases, slopes) travel in half precision: nothing is to be gained from them, and they matter."""

_ROUNDS_OF_POWER_ITERATION = 2


def write_array(
    values: Values, codec: AnyCodec, random: np.random.Generator, start: MutableMapping[str, Values]
) -> bytes:
    """Returns an array as bytes.

    Args:
        values: Of any shape.
        codec: How to write it.
        random: Rounds and chooses.
        start: Under "q", the factor that a low-rank codec begins with; replaced by the new one.
    """
    flat = np.ascontiguousarray(values, np.float32).reshape(-1)
    if isinstance(codec, Half) or flat.size < FEWEST_VALUES:
        return half(flat)
    if isinstance(codec, Blockwise):
        return _write_blocks(flat, codec, random)
    if isinstance(codec, Stepped):
        return _write_steps(flat, codec)
    if isinstance(codec, TopK):
        return _write_top(flat, codec)
    if isinstance(codec, RandomK):
        return _write_random(flat, codec, random)
    return _write_factors(values, codec, random, start)


def read_array(reader: Reader, shape: Shape, codec: AnyCodec) -> Values:
    """Returns the next array of a payload.

    Raises:
        UpdateError: The bytes are not what `write_array` writes for this shape and codec.
    """
    size = math.prod(shape)
    if isinstance(codec, Half) or size < FEWEST_VALUES:
        return reader.finite(size).reshape(shape)
    read: dict[type, Callable[..., Values]] = {
        Blockwise: _read_blocks,
        Stepped: _read_steps,
        TopK: _read_top,
        RandomK: _read_random,
    }
    if isinstance(codec, LowRank):
        return _read_factors(reader, shape, codec)
    return read[type(codec)](reader, size, codec).reshape(shape)


def _write_blocks(flat: Values, codec: Blockwise, random: np.random.Generator) -> bytes:
    blocks = np.zeros((-(-flat.size // codec.block), codec.block), np.float32)
    blocks.reshape(-1)[: flat.size] = flat
    scales = np.frombuffer(half(np.abs(blocks).max(1) / codec.levels * (1 + 2**-10)), "<f2").astype(np.float32)
    scaled = blocks / np.where(scales > 0, scales, 1)[:, None]
    # floor(x + u) with u uniform in [0, 1) is x on average.
    whole = np.floor(scaled + random.random(scaled.shape, np.float32))
    whole = np.clip(whole, -codec.levels, codec.levels).reshape(-1)[: flat.size]
    return half(scales) + pack_symbols((whole + codec.levels).astype(np.uint8), 2 * codec.levels + 1)


def _read_blocks(reader: Reader, size: int, codec: Blockwise) -> Values:
    count = -(-size // codec.block)
    scales = reader.finite(count)
    whole = unpack_symbols(reader, size, 2 * codec.levels + 1).astype(np.float32) - codec.levels
    values: Values = whole * np.repeat(scales, codec.block)[:size]
    return values


def _write_steps(flat: Values, codec: Stepped) -> bytes:
    width = codec.step * math.sqrt(float(np.mean(np.square(flat, dtype=np.float64))))
    written = half(np.array([width]))
    step = float(np.frombuffer(written, "<f2")[0])
    whole = np.clip(np.rint(flat / step), -codec.levels, codec.levels) if step else np.zeros_like(flat)
    return written + pack_symbols((whole + codec.levels).astype(np.uint8), 2 * codec.levels + 1)


def _read_steps(reader: Reader, size: int, codec: Stepped) -> Values:
    step = reader.finite(1)[0]
    whole = unpack_symbols(reader, size, 2 * codec.levels + 1).astype(np.float32) - codec.levels
    values: Values = whole * step
    return values


def _write_top(flat: Values, codec: TopK) -> bytes:
    count = _count(flat.size, codec.fraction)
    chosen = np.sort(np.argpartition(np.abs(flat), flat.size - count)[flat.size - count :])
    kept = flat[chosen]
    if codec.values == "sign":
        # One symbol a value, where it stands: none, minus, plus.
        symbols = np.zeros(flat.size, np.uint8)
        symbols[chosen] = 1 + (kept > 0)
        return half(np.abs(kept).mean(keepdims=True)) + pack_symbols(symbols, 3)
    # Gaps of at most 255; a longer one is 255 and the rest again.
    gaps = np.diff(chosen, prepend=-1) - 1
    return half(kept) + _write_gaps(gaps)


def _read_top(reader: Reader, size: int, codec: TopK) -> Values:
    values = np.zeros(size, np.float32)
    if codec.values == "sign":
        magnitude = reader.finite(1)[0]
        symbols = unpack_symbols(reader, size, 3)
        values[symbols == 1], values[symbols == 2] = -magnitude, magnitude
        return values
    kept = reader.finite(_count(size, codec.fraction))
    places = np.cumsum(_read_gaps(reader, kept.size) + 1) - 1
    if places[-1] >= size:
        raise UpdateError("a payload with values beyond the end of an array")
    values[places] = kept
    return values


def _write_gaps(gaps: NDArray[np.int64]) -> bytes:
    """Returns each gap as a byte, or as 255 and four bytes where it does not fit."""
    short = np.minimum(gaps, 255).astype(np.uint8)
    return short.tobytes() + gaps[gaps >= 255].astype("<u4").tobytes()


def _read_gaps(reader: Reader, count: int) -> NDArray[np.int64]:
    gaps = reader.take("u1", count).astype(np.int64)
    long = gaps == 255
    gaps[long] = reader.take("<u4", int(long.sum())).astype(np.int64)
    return gaps


def _write_random(flat: Values, codec: RandomK, random: np.random.Generator) -> bytes:
    seed = int(random.integers(2**32))
    return seed.to_bytes(4, "little") + half(flat[_chosen(seed, flat.size, codec.fraction)])


def _read_random(reader: Reader, size: int, codec: RandomK) -> Values:
    seed = int(reader.take("<u4", 1).astype(np.int64)[0])
    places = _chosen(seed, size, codec.fraction)
    values = np.zeros(size, np.float32)
    values[places] = reader.finite(places.size)
    return values


def _chosen(seed: int, size: int, fraction: float) -> NDArray[np.int64]:
    """Returns places in ascending order, the same ones at both ends.

    NumPy promises what its bit generators draw, and not what `Generator.choice` makes of it: the ends may have other
    versions of it.
    """
    count, drawn = _count(size, fraction), np.random.Philox(key=seed).random_raw(size)
    return np.flatnonzero(drawn <= np.partition(drawn, count - 1)[count - 1])[:count]


def _count(size: int, fraction: float) -> int:
    return max(1, round(size * fraction))


def _write_factors(
    values: Values, codec: LowRank, random: np.random.Generator, start: MutableMapping[str, Values]
) -> bytes:
    matrix = values.reshape(values.shape[0], -1)
    rank = _rank(matrix.shape, codec)
    if not rank:
        return half(matrix.reshape(-1))
    q = start.get("q")
    if q is None or q.shape != (matrix.shape[1], rank):
        q = random.standard_normal((matrix.shape[1], rank), np.float32)
    for _ in range(_ROUNDS_OF_POWER_ITERATION):
        p = np.linalg.qr(matrix @ q)[0]
        q = matrix.T @ p
    start["q"] = q
    return half(p.reshape(-1)) + half(q.reshape(-1))


def _read_factors(reader: Reader, shape: Shape, codec: LowRank) -> Values:
    rows, columns = shape[0], math.prod(shape[1:])
    rank = _rank((rows, columns), codec)
    if not rank:
        return reader.finite(rows * columns).reshape(shape)
    p, q = reader.finite(rows * rank).reshape(rows, rank), reader.finite(columns * rank).reshape(columns, rank)
    return _product(p, q).reshape(shape)


def _product(p: Values, q: Values) -> Values:
    """Returns p q^T, the same bits on every processor.

    A BLAS adds up in an order of its own; each of these operations is rounded as IEEE 754 says.
    """
    total: Values = np.multiply.outer(p[:, 0], q[:, 0])
    for place in range(1, p.shape[1]):
        total += np.multiply.outer(p[:, place], q[:, place])
    return total


def _rank(shape: Shape, codec: LowRank) -> int:
    """Returns the rank of the factors; 0 where they would not be smaller than the matrix."""
    rows, columns = shape
    rank = min(codec.rank, rows, columns)
    return rank if rank * (rows + columns) < rows * columns else 0
