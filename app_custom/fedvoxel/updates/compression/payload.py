"""One payload: named arrays as one self-describing, checked and losslessly packed string of bytes.

    b"FVC" | version (1 byte) | zstd frame with checksum of: length of the head (4 bytes) | head (JSON) | arrays

The head names the codec and every array with its shape, so that a hospital's filter can read what leaves. Nothing in a
payload is trusted: its size is bounded before memory is taken, and everything is checked against the layout.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray
from pydantic import ValidationError

from fedvoxel.errors import UpdateError
from fedvoxel.updates.compression.arrays import read_array, write_array
from fedvoxel.updates.compression.config import READ_CODEC, AnyCodec
from fedvoxel.updates.compression.stream import Reader
from fedvoxel.updates.update import Arrays, Layout, check_layout, check_values

PAYLOAD = "fedvoxel.payload"
"""The name under which a payload travels where FLARE wants named arrays."""

MOST_VALUES = 2**29
"""Largest number of values that a payload without a known layout may hold: 2 GiB as float32."""

_MAGIC = b"FVC"
_VERSION = 1
_MOST_HEAD_BYTES = 2**20
_LARGEST_WINDOW = 2**23
_LEVEL = 19

Memory = dict[str, NDArray[np.float32]]
"""What a sender keeps: "residual:" and "q:" before an array's name."""


def encode(arrays: Arrays, codec: AnyCodec, random: np.random.Generator, memory: Arrays) -> tuple[bytes, Memory]:
    """Returns a payload, and what the sender keeps for the next one.

    What the codec leaves out is not lost: it is added to what is sent the next time, so that everything sent so far and
    the memory together are the sum of all inputs.

    Args:
        arrays: A difference, float32 by name.
        codec: How to write it.
        random: Rounds and chooses.
        memory: What the last call returned; empty at first.

    Raises:
        UpdateError: Values are not finite or absurd.

    Source: Karimireddy et al., "Error Feedback Fixes SignSGD", ICML 2019, Algorithm 2.
    """
    check_values(arrays)
    head = {"codec": codec.model_dump(mode="json"), "layout": {name: arrays[name].shape for name in sorted(arrays)}}
    written = json.dumps(head, separators=(",", ":")).encode()
    parts, kept = [len(written).to_bytes(4, "little"), written], Memory()
    for name in sorted(arrays):
        whole = np.asarray(arrays[name], np.float32)
        if f"residual:{name}" in memory:
            whole = whole + memory[f"residual:{name}"]
        start = {"q": memory[f"q:{name}"]} if f"q:{name}" in memory else {}
        part = write_array(whole, codec, random, start)
        parts.append(part)
        kept[f"residual:{name}"] = whole - read_array(Reader(part), whole.shape, codec)
        kept |= {f"q:{name}": q for q in start.values()}
    packed = zstandard.ZstdCompressor(_LEVEL, write_checksum=True).compress(b"".join(parts))
    return _MAGIC + bytes([_VERSION]) + packed, kept


def decode(
    payload: bytes, layout: Layout | None = None, codec: AnyCodec | None = None
) -> dict[str, NDArray[np.float32]]:
    """Returns the arrays of a payload.

    Args:
        payload: As `encode` returns it, or anything at all.
        layout: What it has to hold; None takes what it says, within `MOST_VALUES`.
        codec: The codec that it has to be written with; None takes any.

    Raises:
        UpdateError: It is no payload of this version, is too large, or does not hold what it should.
    """
    content = _unpack(payload, sum(map(math.prod, layout.values())) if layout else MOST_VALUES)
    reader = Reader(content)
    length = int(reader.take("<u4", 1).astype(np.int64)[0])
    if length > _MOST_HEAD_BYTES:
        raise UpdateError("a payload with a head too long")
    said, shapes = _head(reader.take("u1", length).tobytes())
    if codec is not None and said != codec:
        raise UpdateError(f"a payload written as {said.name}, expected {codec.model_dump(mode='json')}")
    if sum(map(math.prod, shapes.values())) > MOST_VALUES:
        raise UpdateError(f"a payload of more than {MOST_VALUES} values")
    if layout is not None:
        _check_same(shapes, layout)
    arrays = {name: read_array(reader, shape, said) for name, shape in shapes.items()}
    reader.end()
    check_values(arrays)
    return arrays


def as_array(payload: bytes) -> NDArray[np.uint8]:
    """Returns a payload as FLARE carries it."""
    return np.frombuffer(payload, np.uint8)


def payload_of(arrays: Mapping[str, Any]) -> bytes | None:
    """Returns the payload that stands where FLARE wants named arrays; None where arrays stand there.

    Raises:
        UpdateError: Something else stands beside it, or it is no plain string of bytes.
    """
    if PAYLOAD not in arrays:
        return None
    found = arrays[PAYLOAD]
    if len(arrays) > 1 or not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.ndim != 1:
        raise UpdateError("expected a payload of bytes and nothing beside it")
    return found.tobytes()


def _unpack(payload: bytes, values: int) -> bytes:
    if payload[:3] != _MAGIC:
        raise UpdateError("expected a payload, got something else")
    if payload[3:4] != bytes([_VERSION]):
        known = f"version {_VERSION}"
        raise UpdateError(
            f"a payload of version {payload[3] if len(payload) > 3 else 'none'}; this package reads {known}"
        )
    # No codec writes more than four bytes a value; low-rank factors are taken only where they are smaller.
    most = 4 * values + _MOST_HEAD_BYTES + 2**16
    try:
        size = zstandard.frame_content_size(payload[4:])
        if size > most:
            raise UpdateError(f"a payload that unpacks to more than {most} bytes")
        if size < 0:
            raise UpdateError("a payload that does not say its size")
        unpacker = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
        return unpacker.decompress(payload[4:], max_output_size=most, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError):
        raise UpdateError("a payload that cannot be unpacked") from None


def _head(written: bytes) -> tuple[AnyCodec, dict[str, tuple[int, ...]]]:
    try:
        head = json.loads(written)
        codec = _codec(head["codec"])
        shapes = {str(name): tuple(shape) for name, shape in head["layout"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UpdateError("a payload whose head cannot be read") from None
    if any(type(length) is not int or not 0 <= length <= MOST_VALUES for shape in shapes.values() for length in shape):
        raise UpdateError("a payload with an impossible shape")
    return codec, shapes


def _codec(said: Any) -> AnyCodec:
    try:
        return READ_CODEC.validate_python(said)
    except ValidationError:
        raise UpdateError(f"a payload of a codec that this package does not know: {str(said)[:80]}") from None


def _check_same(shapes: Layout, layout: Layout) -> None:
    check_layout({name: np.broadcast_to(np.float32(0), shape) for name, shape in shapes.items()}, layout)
