"""What every codec keeps to: bounds of error, nothing lost, and nothing taken from bytes that are not in order."""

import zlib
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from fedvoxel.errors import UpdateError
from fedvoxel.updates.compression.arrays import read_array
from fedvoxel.updates.compression.config import READ_CODEC, AnyCodec, finer
from fedvoxel.updates.compression.payload import PAYLOAD, as_array, decode, encode, payload_of
from fedvoxel.updates.compression.stream import Reader, pack_symbols, symbols_per_byte, unpack_symbols
from fedvoxel.updates.update import layout_of

CODECS: list[AnyCodec] = [
    READ_CODEC.validate_python(section)
    for section in (
        {"name": "fp16"},
        {"name": "int8"},
        {"name": "int4"},
        {"name": "stepped", "step": 1.0, "levels": 7},
        {"name": "stepped", "step": 2.0, "levels": 1},
        {"name": "topk", "fraction": 0.1},
        {"name": "topk", "fraction": 0.001},
        {"name": "topk", "fraction": 0.2, "values": "sign"},
        {"name": "randomk", "fraction": 0.1},
        {"name": "powersgd", "rank": 3},
    )
]
EACH = pytest.mark.parametrize("codec", CODECS, ids=lambda codec: "-".join(map(str, codec.model_dump().values())))


def _difference(seed: int = 1) -> dict[str, np.ndarray]:
    """Is like a network's difference: heavy tails, one scale per layer, small arrays between."""
    random = np.random.default_rng(seed)
    shapes = {"a.weight": (16, 8, 3, 3, 3), "a.bias": (16,), "b.weight": (40, 300), "c": (1000,), "d.slope": ()}
    return {
        name: np.asarray(random.standard_t(4, shape) * scale, np.float32)
        for (name, shape), scale in zip(shapes.items(), (1e-2, 1e-3, 1.0, 1e-5, 0.3), strict=True)
    }


def _through(arrays, codec, memory=None, seed=0):
    payload, kept = encode(arrays, codec, np.random.default_rng(seed), memory or {})
    return decode(payload, layout_of(arrays), codec), kept, payload


@EACH
def test_what_is_sent_and_what_is_kept_add_up_to_what_was_put_in(codec: AnyCodec) -> None:
    memory, sent, put_in = {}, None, None
    for seed in range(4):
        arrays = _difference(seed)
        decoded, memory, _ = _through(arrays, codec, memory, seed)
        sent = decoded if sent is None else {name: sent[name] + decoded[name] for name in sent}
        put_in = arrays if put_in is None else {name: put_in[name] + arrays[name] for name in put_in}
    for name, total in put_in.items():
        np.testing.assert_allclose(
            sent[name] + memory[f"residual:{name}"], total, rtol=1e-4, atol=1e-5 * np.abs(total).max()
        )


@EACH
def test_a_payload_is_smaller_than_what_it_holds_and_small_arrays_stay_nearly_exact(codec: AnyCodec) -> None:
    arrays = _difference()
    decoded, _, payload = _through(arrays, codec)
    assert len(payload) < 0.6 * sum(array.nbytes for array in arrays.values())
    for name in ("a.bias", "d.slope"):
        np.testing.assert_allclose(decoded[name], arrays[name], rtol=2**-10, atol=1e-7)


def test_half_precision_and_blocks_keep_their_bounds() -> None:
    arrays = {"w": _difference()["b.weight"]}
    flat = arrays["w"].reshape(-1)
    decoded, _, _ = _through(arrays, CODECS[0])
    np.testing.assert_allclose(decoded["w"].reshape(-1), flat, rtol=2**-11, atol=2**-24)
    for codec, block, levels in ((CODECS[1], 256, 127), (CODECS[2], 64, 7)):
        decoded, _, _ = _through(arrays, codec)
        largest = np.array([np.abs(flat[start : start + block]).max() for start in range(0, flat.size, block)])
        error = np.abs(decoded["w"].reshape(-1) - flat)
        assert np.all(error <= np.repeat(largest, block)[: flat.size] / levels * (1 + 2**-8))


@pytest.mark.parametrize("codec", CODECS[1:3], ids=["int8", "int4"])
def test_random_rounding_has_no_bias(codec: AnyCodec) -> None:
    arrays = {"w": np.linspace(-1, 1, 512, dtype=np.float32)}
    mean = np.mean([_through(arrays, codec, seed=seed)[0]["w"] for seed in range(400)], axis=0)
    width = 1 / (127 if codec.name == "int8" else 7)
    # A step's rounding has a standard deviation of at most half a step; the mean of 400, a twentieth of that.
    assert np.abs(mean - arrays["w"]).max() < 5 * width / 2 / 20


def test_the_largest_values_travel_in_their_places() -> None:
    values = np.zeros(70_000, np.float32)
    places = [0, 255, 256, 257, 69_999]
    values[places] = [1, -2, 3, 4, -5]
    codec = READ_CODEC.validate_python({"name": "topk", "fraction": 5 / 70_000})
    np.testing.assert_array_equal(_through({"w": values}, codec)[0]["w"], values)
    signs = READ_CODEC.validate_python({"name": "topk", "fraction": 5 / 70_000, "values": "sign"})
    np.testing.assert_array_equal(_through({"w": values}, signs)[0]["w"], 3 * np.sign(values))


def test_steps_are_multiples_of_the_root_mean_square() -> None:
    values = _difference()["c"]
    codec = READ_CODEC.validate_python({"name": "stepped", "step": 1.0, "levels": 2})
    decoded = _through({"w": values}, codec)[0]["w"]
    width = np.float32(np.float16(np.sqrt(np.mean(values.astype(np.float64) ** 2))))
    np.testing.assert_allclose(decoded, width * np.clip(np.rint(values / width), -2, 2), rtol=1e-6)


def test_a_matrix_of_low_rank_travels_whole_and_the_last_factor_is_the_next_ones_start() -> None:
    random = np.random.default_rng(0)
    matrix = (random.normal(size=(40, 2)) @ random.normal(size=(2, 300))).astype(np.float32)
    codec = READ_CODEC.validate_python({"name": "powersgd", "rank": 2})
    decoded, memory, _ = _through({"w": matrix}, codec)
    np.testing.assert_allclose(decoded["w"], matrix, atol=2e-2)
    assert memory["q:w"].shape == (300, 2)
    # The best approximation of rank 2, by numpy's own decomposition.
    full = random.normal(size=(40, 300)).astype(np.float32)
    u, s, v = np.linalg.svd(full)
    best = np.linalg.norm(full - (u[:, :2] * s[:2]) @ v[:2])
    kept = {}
    for _ in range(10):
        decoded, kept, _ = _through({"w": full}, codec, {"q:w": kept["q:w"]} if kept else {})
    assert np.linalg.norm(full - decoded["w"]) < 1.01 * best


class NoMatrices(np.ndarray):
    """Is an array that no matrix product is made of."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **named: Any) -> Any:
        assert ufunc is not np.matmul, "a BLAS adds up in an order of its own"
        plain = [np.asarray(each) if isinstance(each, NoMatrices) else each for each in inputs]
        return getattr(ufunc, method)(*plain, **named)


def test_a_low_rank_array_is_read_to_the_same_bits_on_every_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    finite = Reader.finite
    monkeypatch.setattr(Reader, "finite", lambda reader, count: finite(reader, count).view(NoMatrices))
    random = np.random.default_rng(3)
    p, q = (random.normal(size=(size, 4)).astype(np.float16) for size in (40, 300))
    codec = READ_CODEC.validate_python({"name": "powersgd", "rank": 4})
    got = read_array(Reader(p.tobytes() + q.tobytes()), (40, 10, 30), codec).reshape(40, 300)
    p, q = p.astype(np.float32), q.astype(np.float32)
    for row, column in random.integers((40, 300), size=(200, 2)):
        total = np.float32(0)
        for place in range(4):
            total = total + p[row, place] * q[column, place]
        assert got[row, column].tobytes() == total.tobytes()


def test_the_places_that_follow_from_a_seed_are_the_same_in_every_version_of_numpy() -> None:
    codec = READ_CODEC.validate_python({"name": "randomk", "fraction": 0.01})
    part = (12345).to_bytes(4, "little") + np.ones(10, np.float16).tobytes()
    places = np.flatnonzero(read_array(Reader(part), (1000,), codec))
    assert places.tolist() == [45, 80, 222, 321, 355, 356, 423, 456, 607, 825]


def test_places_are_as_many_as_were_asked_for_also_where_draws_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Equal:
        def __init__(self, key: int) -> None:
            self.key = key

        def random_raw(self, size: int) -> np.ndarray:
            return np.full(size, self.key, np.uint64)

    monkeypatch.setattr("numpy.random.Philox", Equal)
    codec = READ_CODEC.validate_python({"name": "randomk", "fraction": 0.01})
    values = np.arange(1, 1001, dtype=np.float32)
    np.testing.assert_array_equal(np.flatnonzero(_through({"w": values}, codec)[0]["w"]), np.arange(10))


def test_places_are_drawn_evenly() -> None:
    codec = READ_CODEC.validate_python({"name": "randomk", "fraction": 0.1})
    hit = np.zeros(1000)
    for seed in range(400):
        hit += _through({"w": np.ones(1000, np.float32)}, codec, seed=seed)[0]["w"]
    # 400 draws of one in ten: 40 each, with a standard deviation of 6.
    assert abs(hit.mean() - 40) < 1e-9 and hit.min() > 10 and hit.max() < 70 and 5 < hit.std() < 7


@given(st.integers(2, 255), st.integers(0, 700), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_symbols_come_back(base: int, count: int, seed: int) -> None:
    symbols = np.random.default_rng(seed).integers(0, base, count).astype(np.uint8)
    packed = pack_symbols(symbols, base)
    assert len(packed) == -(-count // symbols_per_byte(base))
    np.testing.assert_array_equal(unpack_symbols(Reader(packed), count, base), symbols)


# ------------------------------------------------------------------ bytes that are not in order

LAYOUT = layout_of(_difference())


@EACH
@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_a_changed_payload_is_refused_or_holds_plain_numbers(codec: AnyCodec, data: Any) -> None:
    payload, _ = encode(_difference(), codec, np.random.default_rng(0), {})
    inside = bytearray(zstandard.ZstdDecompressor().decompressobj().decompress(payload[4:]))
    place = data.draw(st.integers(0, len(inside) - 1))
    inside[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 3))
    packed = zstandard.ZstdCompressor().compress(bytes(inside[: len(inside) - cut]))
    try:
        decoded = decode(payload[:4] + packed, LAYOUT, codec)
    except UpdateError:
        return
    assert layout_of(decoded) == LAYOUT and all(np.isfinite(array).all() for array in decoded.values())


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_refused(content: bytes) -> None:
    for start in (b"", b"FVC", b"FVC\x01"):
        with pytest.raises(UpdateError):
            decode(start + content, LAYOUT)


def _packed(content: bytes) -> bytes:
    return b"FVC\x01" + zstandard.ZstdCompressor().compress(content)


def _with_head(head: bytes, rest: bytes = b"") -> bytes:
    return _packed(len(head).to_bytes(4, "little") + head + rest)


def test_a_bomb_is_refused_before_it_takes_memory() -> None:
    bomb = _packed(b"\0" * 2**27)
    assert len(bomb) < 2**14
    with pytest.raises(UpdateError, match="unpacks to more than"):
        decode(bomb, LAYOUT)
    whole = _with_head(b'{"codec":{"name":"fp16"},"layout":{"w":[100000,100000]}}')
    with pytest.raises(UpdateError, match="more than 536870912 values"):
        decode(whole)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"PK\x03\x04", "expected a payload"),
        (b"FVC\x09" + b"\0" * 9, "version 9; this package reads version 1"),
        (b"FVC", "version none"),
        (b"FVC\x01" + zlib.compress(b"x"), "cannot be unpacked"),
        (_packed(b"\xff\xff\xff\x7f"), "head too long"),
        (_packed(b"\0" * 9)[:-1], "cannot be unpacked"),
        (_packed(b"\0" * 9) + b"x", "cannot be unpacked"),
        (b"FVC\x01" + zstandard.ZstdCompressor(write_content_size=False).compress(b"x"), "does not say its size"),
        (_with_head(b"[]"), "head cannot be read"),
        (_with_head(b'{"codec":{"name":"gzip"},"layout":{}}'), "does not know: .*gzip"),
        (_with_head(b'{"codec":{"name":"fp16"},"layout":{"w":[-1]}}'), "impossible shape"),
        (_with_head(b'{"codec":{"name":"fp16"},"layout":{"w":[1.5]}}'), "impossible shape"),
        (_with_head(b'{"codec":{"name":"fp16"},"layout":{"w":[true]}}'), "impossible shape"),
        (_with_head(b'{"codec":{"name":"fp16"},"layout":{"w":[3]}}', b"\0" * 5), "ends too early"),
        (_with_head(b'{"codec":{"name":"fp16"},"layout":{"w":[2]}}', b"\0" * 5), "nobody asked for"),
        (_with_head(b'{"codec":{"name":"fp16"},"layout":{"w":[1]}}', b"\x00\x7e"), "not finite"),
    ],
)
def test_what_is_not_in_order_is_refused_by_reason(payload: bytes, said: str) -> None:
    with pytest.raises(UpdateError, match=said):
        decode(payload)


def test_another_layout_or_codec_than_the_expected_one_is_refused() -> None:
    payload, _ = encode(_difference(), CODECS[0], np.random.default_rng(0), {})
    with pytest.raises(UpdateError, match="wrong keys"):
        decode(payload, {"other": (3,)} | {name: LAYOUT[name] for name in ("a.weight", "b.weight")})
    with pytest.raises(UpdateError, match="wrong shape"):
        decode(payload, LAYOUT | {"c": (10, 100)})
    with pytest.raises(UpdateError, match="written as fp16"):
        decode(payload, LAYOUT, CODECS[1])


def test_top_values_beyond_an_array_and_symbols_that_do_not_exist_are_refused() -> None:
    head = b'{"codec":{"name":"topk","fraction":0.004},"layout":{"w":[500]}}'
    with pytest.raises(UpdateError, match="beyond the end of an array"):
        decode(_with_head(head, b"\0\x3c" * 2 + b"\x01\xff" + (498).to_bytes(4, "little")))
    head = b'{"codec":{"name":"stepped","levels":1},"layout":{"w":[500]}}'
    with pytest.raises(UpdateError, match="symbols that do not exist"):
        decode(_with_head(head, b"\0\x3c" + b"\xff" * 100))
    head = b'{"codec":{"name":"stepped","levels":1},"layout":{"w":[499]}}'
    with pytest.raises(UpdateError, match="symbols beyond its end"):
        decode(_with_head(head, b"\0\x3c" + b"\xf2" * 100))


@pytest.mark.parametrize("value", [np.nan, np.inf, 2e3])
def test_nobody_encodes_what_the_server_would_refuse(value: float) -> None:
    with pytest.raises(UpdateError):
        encode({"w": np.full(300, value, np.float32)}, CODECS[0], np.random.default_rng(0), {})


def test_a_payload_stands_alone() -> None:
    payload = as_array(b"FVC\x01")
    assert payload_of({"w": np.zeros(3)}) is None and payload_of({PAYLOAD: payload}) == b"FVC\x01"
    for other in ({PAYLOAD: payload, "w": payload}, {PAYLOAD: payload.astype(np.float32)}, {PAYLOAD: b"FVC"}):
        with pytest.raises(UpdateError, match="expected a payload of bytes"):
            payload_of(other)


def test_the_way_back_ends_at_float32() -> None:
    names = []
    codec: AnyCodec | None = CODECS[-1]
    while codec:
        names.append(codec.name)
        codec = finer(codec)
    assert names == ["powersgd", "int8", "fp16"]
