"""Large arrays travel in pieces and come out as they went in; a piece that does not fit is an error."""

import json
from collections.abc import Callable
from copy import copy
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest

from fedvoxel.flare import pieces
from fedvoxel.flare.pieces import PIECE_BYTES, ArrayPieces, PieceConsumer

RANDOM = np.random.default_rng(1)
ARRAYS = {
    "T0": RANDOM.normal(size=(64, 32, 3, 3, 3)).astype(np.float32),
    "T1": RANDOM.normal(size=(1000, 777)).astype(np.float32),
    "T2": np.float32(3.5).reshape(()),
    "T3": np.zeros((0, 4), np.float32),
    "T4": np.asfortranarray(RANDOM.normal(size=(700, 600))),
}


def received(arrays: dict) -> tuple[dict, int]:
    sender, consumer = ArrayPieces(arrays, 2 * 2**20), PieceConsumer()
    state: dict = {}
    most = 0
    while True:
        code, items, state = sender.produce(state, "site")
        if code != "ok":
            return consumer.result, most
        most = max(most, sum(map(len, items)))
        consumer.consume("ref", state, items)


def test_arrays_come_out_as_they_went_in_and_no_message_is_large() -> None:
    result, most = received(ARRAYS)
    assert sorted(result) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert result[name].dtype == array.dtype
        np.testing.assert_array_equal(result[name], array)
    assert most < 2.1 * 2**20
    assert ARRAYS["T1"].nbytes > 2 * PIECE_BYTES


@pytest.mark.parametrize("key", [["T0", 9, [10]], ["T0", -1, [10]], ["T0", 0, [11]], ["T0", 0, [2, 5]]])
def test_a_piece_that_does_not_fit_is_an_error(key: list) -> None:
    consumer = PieceConsumer()
    there = {"T0": np.zeros(10, np.float32)}
    stream = BytesIO()
    np.savez(stream, **{json.dumps(key): np.ones(3, np.float32)})
    with pytest.raises(ValueError, match="does not fit"):
        consumer.consume_items([stream.getvalue()], there)


def _deflated() -> bytes:
    stream = BytesIO()
    np.savez_compressed(stream, T0=np.zeros(10**6, np.float32))
    assert stream.tell() < 10_000
    return stream.getvalue()


def _twice_the_same() -> bytes:
    """Many entries of an archive that all name the same bytes."""
    stream = BytesIO()
    with ZipFile(stream, "w") as archive:
        member = BytesIO()
        np.save(member, np.zeros(10_000, np.float32))
        archive.writestr("T0.npy", member.getvalue())
        for index in range(1, 9):
            again = copy(archive.filelist[0])
            again.filename = f"T{index}.npy"
            archive.filelist.append(again)
            archive.NameToInfo[again.filename] = again
    return stream.getvalue()


@pytest.mark.parametrize(
    ("item", "said"), [(_deflated, "a compressed piece"), (_twice_the_same, "more bytes than have come")]
)
def test_an_item_that_unpacks_to_more_than_it_is_is_an_error(item: Callable[[], bytes], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        PieceConsumer().consume_items([item()], None)


@pytest.mark.parametrize("keys", [[["T0", 0, [2**20]]], [["T0", 0, [10]], ["T1", 0, [95]]], ["T0", "T1", "T2"]])
def test_a_message_takes_no_more_memory_than_it_may(keys: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MOST_BYTES", 400)
    consumer, result = PieceConsumer(), None
    for key in keys[:-1]:
        result = consumer.consume_items([_item(key)], result)
    with pytest.raises(ValueError, match="arrays of more than 400 bytes in one message"):
        consumer.consume_items([_item(keys[-1])], result)


def _item(key: str | list) -> bytes:
    """A whole array of 160 bytes, or a piece of one."""
    stream = BytesIO()
    named, size = (key, 40) if isinstance(key, str) else (json.dumps(key), 3)
    np.savez(stream, **{named: np.ones(size, np.float32)})
    return stream.getvalue()
