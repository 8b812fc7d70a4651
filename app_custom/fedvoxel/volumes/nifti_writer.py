"""Writes a volume as NIfTI-1, compressed: the same voxels give the same bytes."""

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Header
from numpy.typing import NDArray

from fedvoxel.volumes.volume import Affine, spacing_of

_SCANNER = 1
_FAST = 1
_NO_EXTENSION = bytes(4)
_OWNER_ONLY = 0o600
_RIGHT_ANGLES = 1e-4
"""Between unit vectors; a gantry tilt of 0.01 degrees is more."""


def write_nifti(path: Path, voxels: NDArray[Any], affine: Affine) -> None:
    """Writes `path` slice by slice, and has it on the disk at the end; only the owner may read it.

    Args:
        path: A new file, .nii.gz.
        voxels: (X, Y, Z); float32 whole numbers that fit are stored as int16, which loses nothing.
        affine: (4, 4), RAS millimetres.

    Raises:
        OSError: The disk is full or not writable.

    Source: NIfTI-1 header definition, method 3 (sform) and, for viewers that read no other, method 2 (qform), which
    only axes at right angles have; RFC 1952 (a gzip header without name and time).
    """
    kind = _stored_type(voxels)
    head = _head(voxels, affine, kind)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(handle, "wb") as file:
        with gzip.GzipFile("", "wb", _FAST, file, mtime=0) as stream:
            stream.write(head)
            for z in range(voxels.shape[2]):
                stream.write(np.asarray(voxels[:, :, z], dtype=kind).tobytes(order="F"))
        file.flush()
        os.fsync(file.fileno())


def nifti_bytes(voxels: NDArray[Any], affine: Affine) -> bytes:
    """Returns a volume as an uncompressed NIfTI-1 file; see `write_nifti`."""
    kind = _stored_type(voxels)
    return _head(voxels, affine, kind) + np.asarray(voxels, dtype=kind).tobytes(order="F")


def _head(voxels: NDArray[Any], affine: Affine, kind: np.dtype[Any]) -> bytes:
    """Returns what stands before the voxels."""
    header = Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape(voxels.shape)
    header.set_zooms(spacing_of(affine))
    header.set_sform(affine, _SCANNER)
    if _at_right_angles(affine):
        header.set_qform(affine, _SCANNER)
    header.set_xyzt_units("mm")
    header["vox_offset"] = len(header.binaryblock) + len(_NO_EXTENSION)
    header["magic"] = b"n+1"
    return bytes(header.binaryblock) + _NO_EXTENSION


def _at_right_angles(affine: Affine) -> bool:
    axes = affine[:3, :3] / spacing_of(affine)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() <= _RIGHT_ANGLES)


def _stored_type(voxels: NDArray[Any]) -> np.dtype[Any]:
    if voxels.dtype != np.float32:
        return np.dtype(voxels.dtype).newbyteorder("<")
    limits = np.iinfo(np.int16)
    small = float(voxels.min()) >= limits.min and float(voxels.max()) <= limits.max
    whole = small and all(np.array_equal(plane, np.rint(plane)) for plane in np.moveaxis(voxels, 2, 0))
    return np.dtype("<i2") if whole else np.dtype("<f4")
