"""Sends large arrays in pieces of a megabyte, in both directions.

FLARE sends an array whole, however large, and holds it several times over on its way: encoded, in a message, in the
connection's buffers. Small pieces keep that to a few megabytes for each site that sends or receives. The receiver puts
them together in place; what does not fit makes the transfer fail, as any other fault does. So does what would grow in
memory: an item holds as many bytes as it says, and all of a message's arrays together no more than `MOST_BYTES`.
"""

import json
import math
from collections.abc import Iterator
from io import BytesIO
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np
from numpy.typing import NDArray
from nvflare.app_common.decomposers import numpy_decomposers
from nvflare.app_common.np.np_downloader import ArrayConsumer, ArrayDownloadable
from nvflare.fuel.f3.streaming.download_service import download_object
from nvflare.fuel.utils import fobs
from nvflare.fuel.utils.fobs import dots

from fedvoxel.federation.traffic import PIECE_BYTES

Arrays = dict[str, NDArray[Any]]

MOST_BYTES = 4 * 2**30
"""What a message's arrays may take: a model of 500 million parameters with its control variates."""


class ArrayPieces(ArrayDownloadable):
    """Is what FLARE sends a message's arrays with: each as one item, or as several where it is large."""

    def __init__(self, arrays: Arrays, max_chunk_size: int) -> None:
        """Keeps the arrays until they have arrived."""
        self._pieces = [piece for name, array in arrays.items() for piece in _cut(name, array)]
        super().__init__(arrays, max_chunk_size)

    def get_item_count(self) -> int:
        """Returns the number of pieces."""
        return len(self._pieces)

    def get_item_size(self, index: int) -> int:
        """Returns a piece's size in bytes, so that FLARE need not encode it to see that it is too large to add."""
        return self._pieces[index][2]

    def produce_item(self, index: int) -> bytes:
        """Returns one piece as an `.npz` of one array."""
        name, start, _ = self._pieces[index]
        array = self.base_obj[name]
        stream = BytesIO()
        if array.nbytes > PIECE_BYTES:
            key = json.dumps([name, start, list(array.shape)])
            np.savez(stream, allow_pickle=False, **{key: array.reshape(-1)[start : start + _step(array)]})
        else:
            np.savez(stream, allow_pickle=False, **{name: array})
        return stream.getvalue()


class PieceConsumer(ArrayConsumer):
    """Puts arrays together from their pieces; takes whole arrays as they are."""

    def __init__(self) -> None:
        """Starts with nothing received."""
        super().__init__(None, {})

    def consume_items(self, items: list[bytes], result: Arrays | None) -> Arrays:
        """Adds what has come to what was there.

        Raises:
            ValueError: A piece does not fit its array, or would take more memory than it may.
        """
        together = {} if result is None else result
        for item in items:
            _require_stored(item)
            for key, values in self._to_dict(item).items():
                _place(together, key, values)
        return together


def use_pieces() -> Any:
    """Has this process send and receive arrays in pieces, and returns FLARE's handler of arrays."""
    numpy_decomposers.register()
    handler = fobs.get_dot_handler(dots.NUMPY_DOWNLOAD)
    handler.to_downloadable = lambda items, size, context: ArrayPieces(items, size)
    handler.download = _download
    return handler


def _download(**arguments: Any) -> tuple[str | None, Arrays | None]:
    consumer = PieceConsumer()
    arguments.pop("fobs_ctx", None)
    download_object(consumer=consumer, **arguments)
    return consumer.error, consumer.result


def _step(array: NDArray[Any]) -> int:
    return max(1, PIECE_BYTES // array.itemsize)


def _cut(name: str, array: NDArray[Any]) -> Iterator[tuple[str, int, int]]:
    """Yields an array's name, and the first element and size in bytes of each of its pieces."""
    if array.nbytes <= PIECE_BYTES:
        yield name, 0, array.nbytes
        return
    for start in range(0, array.size, _step(array)):
        yield name, start, min(_step(array), array.size - start) * array.itemsize


def _require_stored(item: bytes) -> None:
    """Refuses an item that unpacks to more than it is: numpy would read a deflated one, of any size."""
    with ZipFile(BytesIO(item)) as archive:
        members = archive.infolist()
    if any(member.compress_type != ZIP_STORED for member in members):
        raise ValueError("a compressed piece")
    if sum(member.file_size for member in members) > len(item):
        raise ValueError("a piece of more bytes than have come")


def _require_room(together: Arrays, size_bytes: int) -> None:
    if sum(array.nbytes for array in together.values()) + size_bytes > MOST_BYTES:
        raise ValueError(f"arrays of more than {MOST_BYTES} bytes in one message")


def _place(together: Arrays, key: str, values: NDArray[Any]) -> None:
    if not key.startswith("["):
        _require_room(together, values.nbytes)
        together[key] = values
        return
    name, start, shape = json.loads(key)
    if name not in together:
        _require_room(together, math.prod(shape) * values.itemsize)
        # Zeros cost nothing until they are written, so a false shape takes no memory; its layout is refused later.
        together[name] = np.zeros(shape, values.dtype)
    target = together[name]
    if target.dtype != values.dtype or not 0 <= start <= math.prod(shape) - values.size or list(target.shape) != shape:
        raise ValueError("a piece does not fit its array")
    target.reshape(-1)[start : start + values.size] = values.reshape(-1)
