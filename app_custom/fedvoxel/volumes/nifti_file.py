"""Reads the voxels and the affine of one NIfTI file that nobody vouches for.

The header is judged before any memory is asked for, a compressed file is read to its checksum, and whatever the
bytes are, the outcome is an array or a `GeometryError`. Geometry is never guessed: without qform and sform a
file is refused.
"""

import io
import math
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import GeometryError
from fedvoxel.volumes.refusal import Reason, geometry_error
from fedvoxel.volumes.volume import Affine, check_affine, check_shape

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

_NIFTI1_BYTES, _NIFTI2_BYTES = 348, 540
_GZIP = b"\x1f\x8b"
"""Source: RFC 1952, section 2.3.1."""
_KNOWN_CODES = range(1, 6)
_PIECE_BYTES = 2**20
_ROOM_BYTES = 2**24  # for header extensions, and for what some writers leave after the voxels


def read_nifti(path: Path, what: str, missing: Reason) -> tuple[NDArray[Any], Affine]:
    """Reads a 3-D NIfTI-1 or NIfTI-2 file (.nii, .nii.gz); trailing axes of length 1 are dropped.

    Args:
        path: The file.
        what: "image" or "label", for the message.
        missing: The reason when there is no such file.

    Returns:
        The voxels (X, Y, Z) with the header's slope and intercept applied, and the affine (4, 4) in RAS
        millimetres, checked to be invertible and of a plausible spacing.

    Raises:
        GeometryError: The file is missing or cannot be trusted; the message holds no path.
    """
    if not path.is_file():
        raise geometry_error(missing, f"there is no {what} file")
    try:
        return _read(path)
    except GeometryError as error:
        raise GeometryError(error.reason, f"{what}: {error}") from None
    except EOFError:
        raise geometry_error("truncated", f"{what}: the compressed data end too early") from None
    except MemoryError:
        raise geometry_error("too_large", f"{what}: there is not enough memory for it") from None
    except Exception as error:  # a parser of foreign bytes: nibabel and numpy raise whatever they meet
        kind = type(error).__name__  # the error's own text may hold the path
        raise geometry_error("unreadable", f"{what}: expected a NIfTI file ({kind})") from None


def claimed_voxels(path: Path) -> int:
    """Returns how many voxels a file's header claims; 0 if nobody can tell, which `read_nifti` then judges."""
    try:
        with _open(path) as stream:
            sizes = _header(stream.read(_NIFTI2_BYTES))["dim"]
    except Exception:  # a parser of foreign bytes
        return 0
    return math.prod(max(int(size), 0) for size in sizes[1 : int(sizes[0]) + 1])


def _read(path: Path) -> tuple[NDArray[Any], Affine]:
    with _open(path) as stream:
        head = stream.read(_NIFTI2_BYTES)
        expected = _expected_bytes(_header(head))
        content = _read_on(stream, head, expected + _ROOM_BYTES)
    if content.tell() < expected:
        raise geometry_error("truncated", f"expected {expected} bytes, got {content.tell()}")
    return _parse(content, head)


def _read_on(stream: IO[bytes], head: bytes, limit: int) -> io.BytesIO:
    """Reads to the end or `limit` in pieces, so that memory grows with what is there, not with what is claimed."""
    content = io.BytesIO()
    content.write(head)
    while content.tell() < limit and (piece := stream.read(min(_PIECE_BYTES, limit - content.tell()))):
        content.write(piece)
    return content


def _open(path: Path) -> IO[bytes]:
    from isal import igzip

    if path.name.lower().endswith(".nii.gz"):
        with path.open("rb") as stream:
            begins = stream.read(len(_GZIP))
        if begins not in (b"", _GZIP):  # isal takes a short file of anything for one that ends too early
            raise geometry_error("unreadable", "expected a NIfTI file that is compressed, as its name says")
        return cast("IO[bytes]", igzip.open(path, "rb"))  # reads in half the time that gzip takes
    if path.name.lower().endswith(".nii"):
        return path.open("rb")
    raise geometry_error("unreadable", "expected a file name that ends in .nii or .nii.gz")


def _header(head: bytes) -> "Nifti1Header":
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    if len(head) < _NIFTI1_BYTES:
        raise geometry_error("truncated", f"expected a header of {_NIFTI1_BYTES} bytes, got {len(head)}")
    sizes = {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    header: Nifti1Header
    if _NIFTI2_BYTES in sizes and len(head) == _NIFTI2_BYTES:
        header, magic = Nifti2Header(head, check=False), b"n+2"
    elif _NIFTI1_BYTES in sizes:
        header, magic = Nifti1Header(head[:_NIFTI1_BYTES], check=False), b"n+1"
    else:
        raise geometry_error("unreadable", "the file does not begin with a NIfTI header")
    if bytes(header["magic"])[:3] != magic:
        raise geometry_error("unreadable", "the file's magic number is not that of a single NIfTI file")
    return header


def _expected_bytes(header: "Nifti1Header") -> int:
    """Judges the header and returns how many bytes the file must have."""
    axes = int(header["dim"][0])
    if not 1 <= axes <= 7:
        raise geometry_error("unreadable", f"the header claims {axes} axes")
    sizes = tuple(int(size) for size in header["dim"][1 : axes + 1])
    if min(sizes) < 1:
        raise geometry_error("unreadable", "the header claims an axis without voxels")
    check_shape(_without_trailing_ones(sizes))
    _require_geometry(header)
    kind = header.get_data_dtype()
    if kind.kind == "c":
        raise geometry_error("complex_values", "the voxels are complex numbers")
    if kind.kind not in "iuf":
        raise geometry_error("unsupported_type", "the voxels are not single real numbers")
    offset = float(header["vox_offset"])
    if not 0 <= offset <= _ROOM_BYTES // 2:
        raise geometry_error("unreadable", "the header claims that the voxels begin far from it")
    return max(int(offset), _NIFTI1_BYTES) + math.prod(sizes) * int(kind.itemsize)


def _require_geometry(header: "Nifti1Header") -> None:
    """Refuses a header for which nibabel would make up an orientation or a voxel size.

    Source: NIfTI-1 header definition, qform_code and sform_code (methods 1 to 3).
    """
    if header["sform_code"] in _KNOWN_CODES:
        return
    if header["qform_code"] not in _KNOWN_CODES:
        raise geometry_error("no_orientation", "the header has neither a qform nor an sform")
    spacing = header["pixdim"][1:4]
    if not np.all(np.isfinite(spacing) & (spacing > 0)):
        raise geometry_error("implausible_spacing", "the header has a qform without a voxel size")


def _parse(content: io.BytesIO, head: bytes) -> tuple[NDArray[Any], Affine]:
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Image

    second = _NIFTI2_BYTES in {int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")}
    content.seek(0)
    image = (Nifti2Image if second else Nifti1Image).from_stream(content)
    affine = np.asarray(image.affine, dtype=np.float64)
    check_affine(affine)
    with np.errstate(all="ignore"):  # what overflows is found as not finite
        voxels = np.asanyarray(image.dataobj)
    return voxels.reshape(_without_trailing_ones(voxels.shape)), affine


def _without_trailing_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    return shape
