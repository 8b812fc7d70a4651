"""Looks up a few elements of a regular file without taking it apart: the way for the hundred files of a usual series.

It reads little-endian files whose elements come in order, and hops over what is not asked for. Whatever it does not
recognise at once it leaves to the thorough reader (`stream.opened`), which decides: a glance refuses nothing. It holds
no more of a file than `_CHUNK_BYTES`, and never follows a length without looking where it leads.
"""

import os
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydicom import uid

from fedvoxel.dicom.stream import MAX_FILE_BYTES

PIXEL_DATA = 0x7FE00010
_CHUNK_BYTES = 2**15
_META_START = 132
_META_GROUP = b"\2\0"
_UNDEFINED = 0xFFFFFFFF
_LARGEST_VALUE = 2**10
_MOST_ELEMENTS = 20_000
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_VRS = frozenset(
    {
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL"),
        *(b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    }
)
_DELIMITERS = 0xFFFE
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_EXPLICIT = struct.Struct("<HH2sH").unpack_from
_IMPLICIT = struct.Struct("<HHI").unpack_from
_LENGTH = struct.Struct("<I").unpack_from


@dataclass
class Glance:
    """Is what a glance at a file found.

    Attributes:
        syntax: The file's transfer syntax.
        values: The bytes of the elements asked for, as far as they are there.
        pixels: (offset, length) of the pixels' value in the file, in bytes, if there are any.
    """

    syntax: str
    values: dict[int, bytes] = field(default_factory=dict, repr=False)
    pixels: tuple[int, int] | None = None


class _Element(NamedTuple):
    tag: int
    value_at: int
    length: int
    is_sequence: bool


_END = _Element(2**32, 0, 0, False)
"""Stands behind the last element."""


class _Irregular(Exception):  # noqa: N818
    """Says that the thorough reader is needed; never leaves this module."""


def glance(path: Path, wanted: frozenset[int]) -> Glance | None:
    """Returns what a file says in the elements `wanted` at its top level; None if only a thorough reader can tell."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_FILE_BYTES:
            return None
        return _Reader(handle, facts.st_size).read(wanted)
    except (_Irregular, struct.error, OSError):
        return None
    finally:
        os.close(handle)


class _Reader:
    """Hops through the elements of an open file."""

    def __init__(self, handle: int, size_bytes: int) -> None:
        self._handle, self._size = handle, size_bytes
        self._start, self._chunk = 0, os.pread(handle, _CHUNK_BYTES, 0)

    def read(self, wanted: frozenset[int]) -> Glance:
        syntax, at = self._read_meta()
        if not syntax or syntax in (uid.DeflatedExplicitVRLittleEndian, uid.ExplicitVRBigEndian):
            raise _Irregular
        found, explicit = Glance(syntax), syntax != uid.ImplicitVRLittleEndian
        before, depth = -1, 0
        for _ in range(_MOST_ELEMENTS):
            element = _END if at == self._size else self._element(at, explicit)
            if not depth:
                if element.tag <= before:  # whatever comes later might be an element wanted
                    raise _Irregular
                before = element.tag
                if element.tag == PIXEL_DATA:
                    found.pixels = (element.value_at, element.length)
                    return found
                if element is _END:
                    return found
                if element.tag in wanted:
                    found.values[element.tag] = self._value(element)
            if depth or element.length == _UNDEFINED or element.tag in _STEPS:
                depth, at = self._inside(element, depth)
            else:
                at = element.value_at + element.length
        raise _Irregular

    def _inside(self, element: _Element, depth: int) -> tuple[int, int]:
        """Returns how many open sequences and items the next element lies in, and where it starts."""
        step = _STEPS.get(element.tag, 0)
        if element.length != _UNDEFINED:
            depth, at = depth + min(step, 0), element.value_at + element.length
        elif element.is_sequence or step > 0:
            depth, at = depth + 1, element.value_at
        else:
            raise _Irregular
        if depth < 0 or at > self._size:
            raise _Irregular
        return depth, at

    def _read_meta(self) -> tuple[str, int]:
        """Returns the transfer syntax, and where the data set starts."""
        if self._chunk[_META_START - 4 : _META_START] != b"DICM":
            raise _Irregular
        syntax, at = "", _META_START
        while at < self._size:
            if self._chunk[at : at + 2] != _META_GROUP:  # what comes next may be implicit
                return syntax, at
            element = self._element(at, True)
            if element.length == _UNDEFINED:
                raise _Irregular
            if element.tag == 0x00020010:
                syntax = self._value(element).rstrip(b"\0 ").decode("ascii", "replace")
            at = element.value_at + element.length
        raise _Irregular

    def _element(self, at: int, explicit: bool) -> _Element:
        local = at - self._start
        if not 0 <= local <= len(self._chunk) - 12:
            self._move_to(at)
            local = 0
        group, number, vr, length = _EXPLICIT(self._chunk, local)
        if explicit and vr in _SHORT_VRS:
            return _Element(group << 16 | number, at + 8, length, False)
        if explicit and vr in _LONG_VRS:
            return _Element(group << 16 | number, at + 12, _LENGTH(self._chunk, local + 8)[0], vr == b"SQ")
        if explicit and group != _DELIMITERS:
            raise _Irregular
        length = _LENGTH(self._chunk, local + 4)[0]
        return _Element(group << 16 | number, at + 8, length, length == _UNDEFINED and group != _DELIMITERS)

    def _value(self, element: _Element) -> bytes:
        if element.length > _LARGEST_VALUE or element.is_sequence:
            raise _Irregular
        local = element.value_at - self._start
        if not 0 <= local <= len(self._chunk) - element.length:
            self._move_to(element.value_at)
            local = 0
        value = self._chunk[local : local + element.length]
        if len(value) < element.length:
            raise _Irregular
        return value

    def _move_to(self, at: int) -> None:
        self._start, self._chunk = at, os.pread(self._handle, _CHUNK_BYTES, at)


_STEPS = {_ITEM: 1, _ITEM_END: -1, _SEQUENCE_END: -1}
"""How an item and the ends change the depth; an item of known length changes nothing."""
