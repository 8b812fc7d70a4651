"""Large arrays travel in pieces and come out as they went in; a piece that does not fit is an error."""

import json
from io import BytesIO

import numpy as np
import pytest

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
