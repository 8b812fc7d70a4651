"""Mutations of whole inputs, drawn by hypothesis: of bytes, and of JSON documents along their structure."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

DEEP = "@deep@"
"""Stands in a document where its text has brackets in brackets, more than any parser follows."""

LONG_NUMBER = "@long number@"
"""Stands where the text has a number of 5000 digits."""

PLANTED = "DOE^JANE^19620101"
"""What no message may quote: the name of a patient who does not exist, planted in names and values of images."""

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 255, 65536, 2**31, 2**53 + 1, 2**63, -(2**63), 10**30),
    *(0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", " ", "x" * 5000, "\x00", "\x1b[2J\x1b[31m", "a\nb\r\nerror: c", "\ud800", "‮", "ﬃ", "%s%n{0}"),
    *("../../../escaped", "/escaped", "..", ".", "a/../../escaped", "C:\\escaped", "~/escaped", "@ALL", "__class__"),
    *("1", "1e3", "NaN", "true", "null", "2026-02-30", "2026-01-01T00:00:00Z", "0" * 64, "f" * 64),
    *([], {}, [[]], [None], [{}], {"": None}, {"__proto__": {}}, [0] * 1000, {str(n): n for n in range(300)}),
    *(DEEP, LONG_NUMBER),
)
_TOKENS = (b"", b"\x00", b"\xff" * 4, b"\x00" * 8, b"\xff" * 8, b"\n", b'"', b"{", b"[", b"}", b"\\u0000", b"../")
_MOST_EDITS = 4


@st.composite
def mutated_bytes(draw: st.DrawFn, origins: Sequence[bytes]) -> bytes:
    """Some bytes with one to four edits: changed, cut, doubled, filled, exchanged, or mixed with another origin's."""
    content = bytearray(draw(st.sampled_from(origins)))
    for _ in range(draw(st.integers(1, _MOST_EDITS))):
        content = _edited(draw, content, origins)
    return bytes(content)


def _edited(draw: st.DrawFn, content: bytearray, origins: Sequence[bytes]) -> bytearray:
    # What is drawn does not depend on the content's length, which a signature in it may change from run to run.
    kind = draw(st.sampled_from(("flip", "byte", "cut", "drop", "double", "token", "number", "splice", "swap")))
    start = draw(st.integers(0, 2**24)) % (len(content) + 1)
    stop = min(len(content), start + draw(st.sampled_from((1, 2, 4, 8, 64, 1024))))
    value, other, token = draw(st.integers(0, 255)), draw(st.sampled_from(origins)), draw(st.sampled_from(_TOKENS))
    part = bytes(content[start:stop])
    if kind == "flip" and part:
        content[start] ^= 1 << value % 8
    elif kind == "byte" and part:
        content[start] = value
    elif kind == "cut":
        del content[start:]
    elif kind == "drop":
        del content[start:stop]
    elif kind == "double":
        content[start:start] = part * (1, 2, 50)[value % 3]
    elif kind == "token":
        content[start:start] = token
    elif kind == "number":
        width = (1, 2, 4, 8)[value % 4]
        edge = (0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), 2 ** (8 * width - 1) - 1)[value % 5]
        content[start : start + width] = edge.to_bytes(width, "little" if value % 2 else "big")
    elif kind == "splice":
        content[start:stop] = other[start:stop]
    elif kind == "swap":
        content[start:stop] = part[::-1]
    return content


@st.composite
def mutated_value(draw: st.DrawFn, origins: Sequence[Any]) -> Any:
    """A JSON value with one to four edits along its structure."""
    value = copy.deepcopy(draw(st.sampled_from(origins)))
    for _ in range(draw(st.integers(1, _MOST_EDITS))):
        value = changed(draw, value)
    return value


@st.composite
def mutated_text(draw: st.DrawFn, origins: Sequence[Any]) -> bytes:
    """A JSON file: of an edited value, and now and then with edited bytes as well."""
    content = written(draw(mutated_value(origins)))
    if draw(st.integers(0, 4)) == 0:
        return draw(mutated_bytes((content,)))
    return content


def written(value: Any) -> bytes:
    """Returns a value as JSON, with what Python's own writer would not write."""
    text = json.dumps(value, ensure_ascii=False)
    text = text.replace(f'"{DEEP}"', "[" * 100_000 + "]" * 100_000).replace(f'"{LONG_NUMBER}"', "9" * 5000)
    return text.encode("utf-8", "surrogatepass")


def plain(value: Any) -> Any:
    """Returns a value as a message carries it: lists twenty deep, and a long number, in the places of the marks."""
    if value == DEEP:
        nested: Any = []
        for _ in range(20):
            nested = [nested]
        return nested
    if value == LONG_NUMBER:
        return 10**400
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def changed(draw: st.DrawFn, value: Any) -> Any:
    """Returns a value with one edit."""
    places = [place for place in _places(value) if place]
    if not places or draw(st.integers(0, 60)) == 0:
        return copy.deepcopy(draw(st.sampled_from(HOSTILE)))
    place = draw(st.sampled_from(places))
    holder = _at(value, place[:-1])
    key = place[-1]
    kind = draw(st.sampled_from(("replace", "replace", "replace", "drop", "double", "add", "wrap", "move", "text")))
    if kind == "replace":
        holder[key] = copy.deepcopy(draw(st.sampled_from(HOSTILE)))
    elif kind == "drop":
        del holder[key]
    elif kind == "double" and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == "double":
        holder[f"{key}_"] = copy.deepcopy(holder[key])
    elif kind == "add" and isinstance(holder, dict):
        holder[draw(st.sampled_from(("", "x", "__class__", "\x1b[2J", "a\nb", "../escaped", "\ud800", "0")))] = None
    elif kind == "wrap":
        holder[key] = [holder[key]]
    elif kind == "move":
        holder[key] = copy.deepcopy(_at(value, draw(st.sampled_from(places))))
    elif kind == "text":
        holder[key] = str(holder[key])
    return value


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        if len(place) < 12:
            yield from _places(part, (*place, key))


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value
