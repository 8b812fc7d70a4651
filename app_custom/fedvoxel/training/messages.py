"""Messages between a trainer process and its parent: a JSON header and, where there are any, arrays.

Nothing is pickled, so neither side can make the other run code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import from_bytes, to_bytes


@dataclass(frozen=True)
class Message:
    """Holds one message: `header` of JSON values, `arrays` by name."""

    header: Mapping[str, Any]
    arrays: Arrays = field(default_factory=dict)


def send(connection: Connection, message: Message) -> None:
    """Sends a message.

    Raises:
        OSError: The other side is gone.
    """
    connection.send_bytes(json.dumps({**message.header, "has_arrays": bool(message.arrays)}).encode())
    if message.arrays:
        connection.send_bytes(to_bytes(message.arrays))


def receive(connection: Connection) -> Message:
    """Receives a message, waiting for it.

    Raises:
        EOFError: The other side is gone.
    """
    header = json.loads(connection.recv_bytes())
    arrays = from_bytes(connection.recv_bytes()) if header.pop("has_arrays") else {}
    return Message(header, arrays)
