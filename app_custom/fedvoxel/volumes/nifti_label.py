"""Brings a NIfTI label onto the grid of an image that came from DICOM.

Converters store the same voxels in another order of axes; that is undone exactly. Anything that would need resampling
is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.frame_place import OFF_GRID_VOXELS
from fedvoxel.volumes.label_codes import recode
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.volume import Affine, Volume


def nifti_label(path: Path, image: Volume, codes: Mapping[int, int]) -> NDArray[np.uint8]:
    """Reads the label of an image.

    Args:
        path: The label (.nii, .nii.gz).
        image: The image.
        codes: The job's code of each of the label's own; all other values but 0 are refused.

    Returns:
        The label (X, Y, Z) on the voxels of `image`, with the job's codes.

    Raises:
        GeometryError: The label cannot be read, does not lie on the image's voxels, holds other codes, or marks
            nothing.
    """
    voxels, affine = read_nifti(path, "label", "missing_label")
    label = label_on(image, voxels, affine, codes)
    if not label.any():
        raise geometry_error("empty_label", "no voxel is marked")
    return label


def label_on(image: Volume, voxels: NDArray[Any], affine: Affine, codes: Mapping[int, int]) -> NDArray[np.uint8]:
    """Returns a label that was read, on the voxels of `image`; see `nifti_label`. It may mark nothing.

    Raises:
        GeometryError: The label does not lie on the image's voxels, or holds other codes.
    """
    return recode(_turned(voxels, affine, image), dict(codes))


def _turned(voxels: NDArray[Any], affine: Affine, image: Volume) -> NDArray[Any]:
    """Returns the label's voxels with their axes in the image's order and direction."""
    steps = np.linalg.inv(image.affine) @ affine
    whole = np.rint(steps)
    last = np.array(voxels.shape) - 1
    corners = np.array([(*corner, 1) for corner in np.ndindex(2, 2, 2)]) * np.append(last, 1)
    off = float(np.abs((steps - whole) @ corners.T).max())
    turn = whole[:3, :3].astype(np.intp)
    if off > OFF_GRID_VOXELS or not np.array_equal(turn @ turn.T, np.eye(3)):
        raise geometry_error("affine_mismatch", "the label's voxels are not those of the image")
    order = np.abs(turn).argmax(axis=1)
    shape = tuple(voxels.shape[axis] for axis in order)
    if shape != image.shape:
        shapes = " and ".join("x".join(map(str, known)) for known in (image.shape, shape))
        raise geometry_error("shape_mismatch", f"image and label have the shapes {shapes}")
    backwards = turn.sum(axis=1) < 0
    if not np.array_equal(whole[:3, 3], np.where(backwards, last[order], 0)):
        raise geometry_error("affine_mismatch", "the label is shifted against the image")
    return np.flip(voxels.transpose(order), axis=tuple(np.flatnonzero(backwards)))
