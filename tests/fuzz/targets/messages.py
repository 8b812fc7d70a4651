"""What sites send: updates as arrays, payloads and pieces, and what stands beside them."""

import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from hypothesis import strategies as st
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType

from fedvoxel.config import parse_config
from fedvoxel.errors import UpdateError
from fedvoxel.federation.outcome import load_outcome, write_outcome
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.federation.round_notes import RoundNotes
from fedvoxel.federation.rounds import Rounds
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.federation.run_identity import RunIdentity
from fedvoxel.federation.vetting import Vetting
from fedvoxel.flare.pieces import PieceConsumer
from fedvoxel.flare.round_replies import RoundReplies
from fedvoxel.flare.run_view import RunView
from fedvoxel.records.audit import AuditLog
from fedvoxel.updates.compression.config import READ_CODEC
from fedvoxel.updates.compression.payload import PAYLOAD, as_array, decode, encode
from fedvoxel.updates.update import layout_of
from fedvoxel.updates.weights_file import from_bytes, to_bytes
from tests.fuzz.mutation import HOSTILE, mutated_bytes, mutated_value, plain, written
from tests.fuzz.target import Target, UnwantedError

_RANDOM = np.random.default_rng(7)
_MODEL = {"deep.weight": np.zeros((24, 16), np.float32), "bias": np.zeros(5, np.float32)}
_DIFFERENCE = {name: _RANDOM.normal(0, 0.1, array.shape).astype(np.float32) for name, array in _MODEL.items()}
_LAYOUT = layout_of(_MODEL)
_CODECS = (
    {"name": "fp16"},
    {"name": "int8"},
    {"name": "int4"},
    {"name": "stepped", "step": 0.5},
    {"name": "topk", "fraction": 0.1},
    {"name": "topk", "fraction": 0.1, "values": "sign"},
    {"name": "randomk", "fraction": 0.1},
    {"name": "powersgd", "rank": 2},
)


def _payloads() -> tuple[bytes, ...]:
    found = []
    for values in _CODECS:
        codec = READ_CODEC.validate_python(values)
        found.append(encode(_DIFFERENCE, codec, np.random.default_rng(1), {})[0])
    return tuple(found)


PAYLOADS = _payloads()


def _opened(payload: bytes) -> tuple[Any, bytes]:
    content = zstandard.ZstdDecompressor().decompress(payload[4:])
    length = int.from_bytes(content[:4], "little")
    return json.loads(content[4 : 4 + length]), content[4 + length :]


_OPENED = [_opened(payload) for payload in PAYLOADS]


@st.composite
def _repacked(draw: st.DrawFn) -> bytes:
    """A payload whose head, or whose arrays' bytes, were edited before it was packed with a right checksum."""
    head, arrays = draw(st.sampled_from(_OPENED))
    written_head = written(head)
    if draw(st.booleans()):
        written_head = written(draw(mutated_value((head,))))
    if draw(st.booleans()):
        arrays = draw(mutated_bytes((arrays, bytes(2000))))
    length = draw(st.sampled_from((len(written_head), len(written_head), len(written_head), 0, 2**31, 7)))
    content = length.to_bytes(4, "little") + written_head + arrays
    return PAYLOADS[0][:4] + zstandard.ZstdCompressor(3, write_checksum=True).compress(content)


def _decode(payload: bytes, folder: Path) -> None:
    arrays = decode(payload, _LAYOUT)
    if layout_of(arrays) != _LAYOUT or not all(np.isfinite(array).all() for array in arrays.values()):
        raise UnwantedError("arrays of another layout, or not finite")


def _decode_any(payload: bytes, folder: Path) -> None:
    decode(payload)


def _piece(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


_HALVES = np.arange(8, dtype=np.float32)
_PIECES = (
    _piece({"whole": _HALVES}),
    _piece({json.dumps(["cut", 0, [4, 2]]): _HALVES[:4]}),
    _piece({json.dumps(["cut", 4, [4, 2]]): _HALVES[4:]}),
)
_KEYS = (["cut", 0, [4, 2]], ["cut", 4, [8]], ["whole", 0, [1]])


@st.composite
def _keyed_pieces(draw: st.DrawFn) -> list[bytes]:
    """Pieces whose keys were edited, in an order of their own."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        key = written(draw(mutated_value(_KEYS)))[:60_000].decode("utf-8", "replace")
        values = _HALVES[: draw(st.sampled_from((0, 1, 4, 8)))]
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            member = io.BytesIO()
            np.save(member, values.astype(draw(st.sampled_from(("f4", "f8", "u1", "c8", "?")))), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo((key.replace("\x00", "") or "x") + ".npy"), member.getvalue())
        found.append(stream.getvalue())
    return found


def _consume(items: list[bytes], folder: Path) -> None:
    consumer = PieceConsumer()
    result = None
    for item in items:
        result = consumer.consume_items([item], result)
    if not all(isinstance(array, np.ndarray) for array in (result or {}).values()):
        raise UnwantedError("something that is no array")


def _weights(content: bytes, folder: Path) -> None:
    from_bytes(content)


# ------------------------------------------------------------------ replies

_NOW = datetime(2026, 3, 2, tzinfo=UTC)
_IDENTITY = RunIdentity("run", "job", "job", ("hospital-a", "hospital-b"), 1, {}, _NOW)
_ROUNDS = {"num_rounds": 1, "min_sites": 1, "round_timeout_s": 60}
_META: dict[str, Any] = {
    "run_key": "run",
    "round": 0,
    "case_count": 5,
    "loss": 0.3,
    "validation": {"cases": 2, "dice": {"organ": 0.5}},
    "refused_cases": 1,
    "filter_note": "clipped",
    "public": True,
    "release_id": "0" * 32,
}


def _hostile_arrays() -> st.SearchStrategy[Any]:
    one = _DIFFERENCE["bias"]
    return st.sampled_from(
        (
            *(one, one.astype(">f8"), one.astype(np.complex64), one.astype(object), one.astype("U3"), one[:3]),
            *(one.reshape(5, 1), np.float32(3), np.full(5, np.nan, np.float32), np.full(5, 1e30, np.float32)),
            *(np.broadcast_to(np.float32(1), (5,)), one[::-1], np.array([b"x"] * 5), np.zeros((0, 5), np.float32)),
            *(np.array(["2020-01-01"] * 5, "M8[D]"), np.zeros(5, [("a", "f4")]), np.full(5, 1e300), one.astype(bool)),
        )
    )


@st.composite
def _replies(draw: st.DrawFn) -> FLModel:
    """A site's reply to a round, with other values beside its arrays, other arrays, or other names."""
    meta = plain(draw(mutated_value((_META,)))) if draw(st.booleans()) else dict(_META)
    params: Any = dict(_DIFFERENCE)
    if draw(st.booleans()):
        name = draw(st.sampled_from(("bias", "deep.weight", "new", "", "\ud800", "control:bias", PAYLOAD)))
        params[name] = draw(st.one_of(_hostile_arrays(), st.sampled_from(HOSTILE).map(plain)))
    if draw(st.integers(0, 9)) == 0:
        params = draw(st.sampled_from((None, {}, {PAYLOAD: as_array(PAYLOADS[0])}, {1: _HALVES}, {"bias": None})))
    kind = draw(st.sampled_from((ParamsType.DIFF, ParamsType.DIFF, ParamsType.DIFF, ParamsType.FULL)))
    reply = FLModel(params_type=kind, params={"x": _HALVES}, meta={})
    reply.meta, reply.params = meta if isinstance(meta, dict) else {"meta": meta}, params
    return reply


def _take(reply: FLModel, folder: Path) -> None:
    """A hostile reply first, then an honest one of another site: the round has to close on sound values."""
    state = Rounds(parse_config(RoundsConfig, _ROUNDS, "rounds"), _MODEL)
    vetting = Vetting("run", {}, private=False)
    vetting.begins(state.model)
    recorder = RunRecorder(_IDENTITY, AuditLog(folder / "state").record)
    replies = RoundReplies(state, RoundNotes(), vetting, recorder, RunView())
    refused = None
    try:
        replies.noting(replies.take)("hospital-b", reply)
    except Exception as error:  # as the controller does
        refused = error
    honest = {name: array + np.float32(0.01) for name, array in _DIFFERENCE.items()}
    meta = {"run_key": "run", "round": 0, "case_count": 5}
    replies.take("hospital-a", FLModel(params_type=ParamsType.DIFF, params=honest, meta=meta))
    state.close_round(lambda: None)
    if not all(np.isfinite(array).all() for array in state.model.values()):
        raise UnwantedError("a global model that is not finite")
    recorder.close_round(replies.notes)
    write_outcome(recorder.outcome("finished", None, _NOW, state), folder / "outcome.json")
    load_outcome(folder / "outcome.json")
    if refused is not None:
        raise UpdateError("refused") from refused


TARGETS = (
    Target(
        "payload",
        "messages",
        st.one_of(mutated_bytes(PAYLOADS), _repacked(), _repacked()),
        _decode,
        (UpdateError,),
        PAYLOADS,
    ),
    Target("payload_of_any_layout", "messages", _repacked(), _decode_any, (UpdateError,), PAYLOADS),
    Target(
        "pieces",
        "messages",
        st.one_of(st.lists(mutated_bytes(_PIECES), min_size=1, max_size=3), _keyed_pieces()),
        _consume,
        (Exception,),
    ),
    Target("weights", "messages", mutated_bytes((to_bytes(_DIFFERENCE),)), _weights, (UpdateError,)),
    Target("replies", "messages", _replies(), _take, (UpdateError,)),
)
