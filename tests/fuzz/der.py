"""Edits of DER along its structure, so that lengths are right and values are not; and what is signed anew after one."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import strategies as st

Node = list[Any]
"""A tag, and the content: bytes, or the nodes in it."""

_CONSTRUCTED, _BIT_STRING, _OCTET_STRING = 0x20, 3, 4
_CONTENTS = (
    *(
        b"",
        b"\x00",
        b"\xff" * 9,
        b"\x80" + bytes(20),
        b"x" * 5000,
        b"\xff\xfe",
        b"hospital-b",
        b"\x1b[2J",
        b"a\nerror: b",
    ),
    *(b"*.example", b"20260230000000Z", b"99991231235959Z", b"\x2a", b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02", b"\x80"),
    *(b"\x30\x03\x01\x01\xff", b"\x05\x00", b"\x01\x00\x01", "\ud800".encode("utf-8", "surrogatepass"), b"\x00x"),
)
_TAGS = (1, 2, 3, 4, 5, 6, 0x0C, 0x13, 0x14, 0x16, 0x17, 0x18, 0x1E, 0x30, 0x31, 0x80, 0x82, 0x87, 0xA0, 0xA3, 0x1F)
_MOST_EDITS, _DEEPEST = 3, 20


@st.composite
def mutated_der(draw: st.DrawFn, origins: Sequence[bytes]) -> bytes:
    """One DER value with one to three edits: a tag, a content, something dropped, doubled or put elsewhere."""
    roots = parsed(draw(st.sampled_from(origins)))
    for _ in range(draw(st.integers(1, _MOST_EDITS))):
        _edit(draw, roots)
    return encoded(roots)


def _edit(draw: st.DrawFn, roots: list[Node]) -> None:
    # The place is drawn from a fixed range: a signature may differ in length from run to run.
    holders = [(nodes, index) for nodes in _lists(roots) for index in range(len(nodes))]
    kind = draw(st.sampled_from(("tag", "content", "content", "drop", "double", "copy", "flip")))
    first, second = draw(st.integers(0, 2**16)), draw(st.integers(0, 2**16))
    tag, content, bit = draw(st.sampled_from(_TAGS)), draw(st.sampled_from(_CONTENTS)), draw(st.integers(0, 7))
    if not holders:
        return
    nodes, index = holders[first % len(holders)]
    if kind == "tag":
        nodes[index] = [tag, encoded(nodes[index][1])]
    elif kind == "content":
        nodes[index] = [nodes[index][0] & ~_CONSTRUCTED, content]
    elif kind == "drop" and len(holders) > 1:
        del nodes[index]
    elif kind == "double":
        nodes.insert(index, nodes[index])
    elif kind == "copy":
        other, place = holders[second % len(holders)]
        nodes[index] = [other[place][0], encoded(other[place][1])]
    elif kind == "flip" and isinstance(nodes[index][1], bytes) and nodes[index][1]:
        changed = bytearray(nodes[index][1])
        changed[second % len(changed)] ^= 1 << bit
        nodes[index] = [nodes[index][0], bytes(changed)]


def _lists(nodes: list[Node]) -> list[list[Node]]:
    """Returns every list of nodes, from the outermost on."""
    found = [nodes]
    for _, content in nodes:
        found += _lists(content) if isinstance(content, list) else []
    return found


def parsed(content: bytes, depth: int = 0) -> list[Node]:
    """Returns the nodes of some DER; what is not understood stays bytes.

    Raises:
        ValueError: It is no DER.
    """
    nodes, place = [], 0
    while place < len(content):
        tag, start, stop = _head(content, place)
        inner: Any = content[start:stop]
        if tag & _CONSTRUCTED and depth < _DEEPEST:
            inner = parsed(inner, depth + 1)
        elif tag == _OCTET_STRING and inner[:1] == b"\x30":  # the value of an extension
            inner = _or_bytes(inner, depth + 1)
        nodes.append([tag, inner])
        place = stop
    return nodes


def _or_bytes(content: bytes, depth: int) -> Any:
    try:
        return parsed(content, depth)
    except ValueError:
        return content


def _head(content: bytes, place: int) -> tuple[int, int, int]:
    if place + 2 > len(content):
        raise ValueError("cut")
    length, start = content[place + 1], place + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(content[start : start + count], "big"), start + count
    if start + length > len(content):
        raise ValueError("cut")
    return content[place], start, start + length


def encoded(nodes: Any) -> bytes:
    """Returns nodes as DER."""
    if isinstance(nodes, bytes):
        return nodes
    written = b""
    for tag, inner in nodes:
        content = encoded(inner)
        written += bytes([tag]) + _length(len(content)) + content
    return written


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def said_in(signed: bytes) -> bytes:
    """Returns what is signed of a certificate, a request or a list."""
    return encoded([parsed(signed)[0][1][0]])


def signed_anew(signed: bytes, said: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Returns a certificate, request or list that says something else, with a right signature."""
    _, algorithm, _ = parsed(signed)[0][1]
    signature = [_BIT_STRING, b"\x00" + sign(said)]
    return encoded([[0x30, said + encoded([algorithm, signature])]])


def signs(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    """Returns how a key signs certificates, requests and lists."""
    if isinstance(key, rsa.RSAPrivateKey):
        return lambda content: key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    return lambda content: key.sign(content, ec.ECDSA(hashes.SHA256()))


def pem(label: str, der: bytes) -> bytes:
    """Returns DER as PEM."""
    return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label.encode(), base64.encodebytes(der), label.encode())
