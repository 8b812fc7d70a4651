"""Messages between a trainer process and its parent: a JSON header and, where there are any, arrays.

A site's share of a secure sum is whole numbers, which travel beside the floats and stay what they are to the last bit.

Nothing is pickled, so neither side can make the other run code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import UpdateError
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import from_bytes, to_bytes

Integers = Mapping[str, NDArray[np.int64]]
"""Whole numbers by name."""


@dataclass(frozen=True)
class Message:
    """Holds one message: `header` of JSON values, `arrays` by name, and `share`, whole numbers by name."""

    header: Mapping[str, Any]
    arrays: Arrays = field(default_factory=dict)
    share: Integers = field(default_factory=dict)


def send(connection: Connection, message: Message) -> None:
    """Sends a message.

    Raises:
        OSError: The other side is gone.
    """
    said = {**message.header, "has_arrays": bool(message.arrays), "has_share": bool(message.share)}
    connection.send_bytes(json.dumps(said).encode())
    if message.arrays:
        connection.send_bytes(to_bytes(message.arrays))
    if message.share:
        connection.send_bytes(to_bytes(cast(Arrays, message.share)))


def receive(connection: Connection) -> Message:
    """Receives a message, waiting for it.

    Raises:
        EOFError: The other side is gone.
        UpdateError: A share is not of whole numbers.
    """
    header = json.loads(connection.recv_bytes())
    has_arrays, has_share = header.pop("has_arrays"), header.pop("has_share")
    arrays = from_bytes(connection.recv_bytes()) if has_arrays else {}
    return Message(header, arrays, _share(connection.recv_bytes()) if has_share else {})


def _share(content: bytes) -> Integers:
    found = cast(Integers, from_bytes(content))
    for name, array in found.items():
        if array.dtype != np.int64:
            raise UpdateError(f"wrong type: {name} of a share should be int64, got {array.dtype}")
    return found
