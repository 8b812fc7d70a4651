"""Files of arrays whose ZIP, names, or headers say something else: in range of what their bytes hold, or far beyond."""

import io
import zipfile

import numpy as np
from hypothesis import strategies as st
from numpy.lib import format as npy

from tests.fuzz.mutation import mutated_bytes

_NAMES = ("a.npy", "b.npy", "x", "../escaped.npy", "", "a\x00.npy", "\u202e.npy", "a.npy.npy", "x" * 300 + ".npy")
_DESCRIPTIONS = (
    *("<f4", ">f4", "<f8", "<c8", "|O", "<U3", "|V4", "<M8[D]", "|b1", "<i8", "f4", "", "x", "<f3", "<f4, <f4"),
    *([("a", "<f4")], [("a", "|O")], None, 4, "<U2147483647"),
)
_SHAPES = (
    (4,),
    (),
    (0,),
    (2, 2),
    (-1,),
    (2**31,),
    (2**40,),
    (2**62, 4),
    (1,) * 40,
    ("a",),
    (True,),
    4,
    None,
    (1.5,),
    (0, 2**40),
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


@st.composite
def odd_arrays(draw: st.DrawFn, origin: bytes) -> bytes:
    """A file of arrays with a member that says something odd, that unpacks to more than it is; or other bytes."""
    kind = draw(st.sampled_from(("bytes", "header", "header", "text", "bomb", "name", "flags")))
    if kind == "bytes":
        return draw(mutated_bytes((origin,)))
    stream = io.BytesIO(origin)
    with zipfile.ZipFile(stream, "a", draw(st.sampled_from(_METHODS))) as archive:
        member = zipfile.ZipInfo()
        member.filename = draw(st.sampled_from(_NAMES)) if kind in ("name", "text") else "odd.npy"
        member.compress_type = archive.compression
        if kind == "flags":
            member.flag_bits |= draw(st.sampled_from((0x1, 0x40, 0x2000)))
        content = _member(draw, kind)
        archive.writestr(member, content)
        if kind == "bomb":
            archive.writestr("bomb.npy", _array(np.zeros(200_000_000, np.uint8)), zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def _member(draw: st.DrawFn, kind: str) -> bytes:
    if kind == "text":
        return draw(
            st.sampled_from((b"", b"x", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff", b"\x93NUMPY\x09\x00\x10\x00"))
        )
    if kind != "header":
        return _array(np.ones(4, np.float32))
    described, shape = draw(st.sampled_from(_DESCRIPTIONS)), draw(st.sampled_from(_SHAPES))
    text = repr({"descr": described, "fortran_order": draw(st.sampled_from((False, True, 0, None))), "shape": shape})
    if draw(st.integers(0, 5)) == 0:
        text = draw(
            st.sampled_from(("(" * 5000, "[" * 2000 + "]" * 2000, "__import__('os')", "{}", "9" * 5000, "\x00"))
        )
    header = text.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(16)


def _array(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    npy.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()
